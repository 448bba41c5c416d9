"""Shape checks for dataclasses of arrays."""

from typing import Any


def check_shapes(value: Any, **shapes: str) -> None:
    """Check array fields against shapes like ``"clips length"`` or ``"D T 4"``.

    A word stands for a size that must agree wherever it appears; a number for itself; a last ``...`` for any more axes.

    Raises:
        ValueError: a field of another shape; the message names it and both shapes.
    """
    sizes: dict[str, int] = {}
    for name, expected in shapes.items():
        shape = tuple(getattr(value, name).shape)
        words = expected.split()
        open_ended = words[-1:] == ["..."]
        words = words[:-1] if open_ended else words
        fits = len(shape) >= len(words) if open_ended else len(shape) == len(words)
        for word, size in zip(words, shape, strict=False):
            fits = fits and size == (int(word) if word.isdigit() else sizes.setdefault(word, size))
        if not fits:
            known = f" with {', '.join(f'{word} = {size}' for word, size in sizes.items())}" if sizes else ""
            raise ValueError(
                f"{type(value).__name__}.{name} must be [{', '.join(expected.split())}]{known}, not {list(shape)}"
            )
