"""One call that makes a model fast."""

from res3d.inference.fuse import FusedResNet3d
from res3d.inference.optimize import DType, OptimizedModel, optimize

__all__ = ["DType", "FusedResNet3d", "OptimizedModel", "optimize"]
