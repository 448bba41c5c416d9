"""Shape checks for dataclasses of arrays."""

from collections.abc import Mapping, Sequence


def check_shapes(value: object, **shapes: str) -> None:
    """Check array fields against shapes such as ``"clips length"`` or ``"D T 4"``.

    A word names a size, which must be the same wherever the word appears. A number is an exact size. A final ``...``
    allows any number of further axes.

    Raises:
        ValueError: a field has another shape; the message names the field and both shapes.
    """
    sizes: dict[str, int] = {}
    for name, expected in shapes.items():
        check_shape(f"{type(value).__name__}.{name}", getattr(value, name).shape, expected.split(), sizes)


def check_shape(name: str, shape: Sequence[int], axes: Sequence[str], sizes: dict[str, int]) -> None:
    """Check the shape of one array.

    Args:
        name: name of the array in the error message.
        shape: its shape.
        axes: the expected shape, in words and numbers; see ``check_shapes``.
        sizes: size of each word that earlier arrays defined; sizes of new words are added.

    Raises:
        ValueError: the array has another shape; the message contains ``name`` and both shapes.
    """
    open_ended = axes[-1] == "..."
    count = len(axes) - open_ended
    fits = len(shape) >= count if open_ended else len(shape) == count
    for axis, size in zip(axes[:count], shape, strict=False):
        fits = fits and size == (int(axis) if axis.isdigit() else sizes.setdefault(axis, size))
    if not fits:
        raise ValueError(f"{name} must be [{', '.join(axes)}]{describe_sizes(sizes)}, not {list(shape)}")


def describe_sizes(sizes: Mapping[str, int]) -> str:
    """Return " with D = 2, T = 5" for an error message, or "" if ``sizes`` is empty."""
    return f" with {', '.join(f'{axis} = {size}' for axis, size in sizes.items())}" if sizes else ""
