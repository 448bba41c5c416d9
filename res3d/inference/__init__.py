"""Faster inference: ``optimize`` returns a fused and optionally compiled copy of a model."""

from res3d.inference.fuse import FusedResNet3d
from res3d.inference.malloc import give_back_freed, usual_memory
from res3d.inference.optimize import DType, OptimizedModel, frozen_compilation, optimize

__all__ = [
    "DType",
    "FusedResNet3d",
    "OptimizedModel",
    "frozen_compilation",
    "give_back_freed",
    "optimize",
    "usual_memory",
]
