"""What users set: each is an attribute of a plugin's class, and its value one of its instance.

    class Blur(ImageAugmentation):
        radius = integer(2, "How far it reaches, in pixels", min=1, max=64)

A parameter whose default is None must be set.
"""

import sys
from dataclasses import dataclass
from typing import Any

_LEAST, _MOST = -(1 << 63), (1 << 63) - 1


@dataclass
class Parameter:
    """A parameter that users may set."""

    kind: str
    default: Any
    doc: str
    min: Any = None
    max: Any = None
    choices: tuple = ()


def boolean(default, doc):
    """Yes or no."""
    return Parameter("boolean", default, doc)


def integer(default, doc, min=_LEAST, max=_MOST):
    """An integer; both ends are included."""
    return Parameter("integer", default, doc, min, max)


def number(default, doc, min=-sys.float_info.max, max=sys.float_info.max):
    """A number; both ends are included."""
    return Parameter("number", default, doc, min, max)


def choice(default, doc, choices):
    """One of these words."""
    return Parameter("choice", default, doc, choices=tuple(choices))


def text(default, doc):
    """Text."""
    return Parameter("text", default, doc)


def integers(default, doc, min=_LEAST, max=_MOST):
    """A list of integers, each within the range."""
    return Parameter("integers", default, doc, min, max)


def numbers(default, doc, min=-sys.float_info.max, max=sys.float_info.max):
    """A list of numbers, each within the range."""
    return Parameter("numbers", default, doc, min, max)
