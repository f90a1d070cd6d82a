"""Prints what PyTorch and timm need on a CPU, of all that they ask for, one requirement a line."""

import re
from importlib.metadata import requires

from pip._vendor.packaging.requirements import Requirement

# Nothing that runs on a CPU loads these: the compiler of GPU kernels, and CUDA's dense solvers.
LEFT_OUT = {"triton", "cuda-bindings", "nvidia-cusolver-cu12"}
LEFT_OUT_PARTS = {"cusolver"}
INSTALLED = {"torch", "torchvision"}

for package in ["torch", "torchvision", "timm"]:
    for line in requires(package) or []:
        requirement = Requirement(line)
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        if name in LEFT_OUT | INSTALLED:
            continue
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        requirement.extras -= LEFT_OUT_PARTS
        requirement.marker = None
        print(requirement)
