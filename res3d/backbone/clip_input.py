"""What a model was trained on, as far as who uses it needs to know."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipInput:
    """How clips are cut from a video and prepared, and what the classes are called.

    Raises:
        ValueError: ``length`` or ``step`` below 1, or a deviation that is not positive.
    """

    length: int  # frames a clip
    step: int = 1  # from one frame of a clip to the next ...
    fps: float | None = None  # ... in a video at this rate; None: at its own
    resize: int | tuple[int, int] | None = None  # the shorter side, or (height, width); None: as it is
    crop: tuple[int, int] | None = None  # (height, width) in the middle; None: whole frames
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)  # subtracted from RGB in 0..1, ...
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)  # ... which is then divided by this
    antialias: bool = False
    categories: tuple[str, ...] = ()  # names of logits 0, 1, ...; empty: unknown

    def __post_init__(self) -> None:
        for name, value in (("length", self.length), ("step", self.step)):
            if value < 1:
                raise ValueError(f"{name} must be ≥ 1, not {value}")
        if not all(value > 0 for value in self.std):
            raise ValueError(f"std must be > 0, not {self.std}")
