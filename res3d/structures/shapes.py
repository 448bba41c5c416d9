"""Shape checks for dataclasses of arrays."""

from collections.abc import Mapping, Sequence


def check_shapes(value: object, **shapes: str) -> None:
    """Check array fields against shapes like ``"clips length"`` or ``"D T 4"``.

    A word stands for a size that must agree wherever it appears; a number for itself; a last ``...`` for any more axes.

    Raises:
        ValueError: a field of another shape; the message names it and both shapes.
    """
    sizes: dict[str, int] = {}
    for name, expected in shapes.items():
        check_shape(f"{type(value).__name__}.{name}", getattr(value, name).shape, expected.split(), sizes)


def check_shape(name: str, shape: Sequence[int], axes: Sequence[str], sizes: dict[str, int]) -> None:
    """Check the shape of one array; ``sizes`` are those of the letters so far, and new letters are added to them.

    Raises:
        ValueError: another shape; the message has ``name`` and both shapes.
    """
    open_ended = axes[-1] == "..."
    count = len(axes) - open_ended
    fits = len(shape) >= count if open_ended else len(shape) == count
    for axis, size in zip(axes[:count], shape, strict=False):
        fits = fits and size == (int(axis) if axis.isdigit() else sizes.setdefault(axis, size))
    if not fits:
        raise ValueError(f"{name} must be [{', '.join(axes)}]{describe_sizes(sizes)}, not {list(shape)}")


def describe_sizes(sizes: Mapping[str, int]) -> str:
    """Return " with D = 2, T = 5" for an error message, or "" where no size is known."""
    return f" with {', '.join(f'{axis} = {size}' for axis, size in sizes.items())}" if sizes else ""
