"""One call that makes a model fast."""

from res3d.inference.optimize import DType, OptimizedModel, optimize

__all__ = ["DType", "OptimizedModel", "optimize"]
