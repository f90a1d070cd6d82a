"""Write a plugin for Vitral in Python.

A plugin is a class in a file that is named for its kind: `image_augmentation.py`, `batch_augmentation.py`,
`attention.py` or `monitor.py`. `vitral plugin build` makes a component of it.
"""

from .ops import concat, constant, random, range_
from .parameters import boolean, choice, integer, integers, number, numbers, text
from .plugin import (
    Attention,
    BatchAugmentation,
    ImageAugmentation,
    Monitor,
    Refused,
    log,
    metric,
    roll_back,
    save,
    scale_learning_rate,
    stop,
    warn,
)
from .tensor import (
    B,
    Constant,
    Normal,
    Tensor,
    TruncatedNormal,
    Uniform,
    XavierUniform,
    apply,
    label,
    parameter,
)

__all__ = [name for name in dir() if not name.startswith("_")]
