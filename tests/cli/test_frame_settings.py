import re

import pytest

from res3d.cli.errors import UsageError
from res3d.cli.frame_settings import FrameSettings
from res3d.clips import ClipSpec

CLIP = ClipSpec(length=8, resize=(40, 50), crop=(32, 32), mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))


def test_settings_that_are_none_keep_the_preprocessing():
    assert FrameSettings().change(CLIP) == CLIP


@pytest.mark.parametrize(
    ("settings", "field", "value"),
    [
        ({"resize": 64}, "resize", 64),
        ({"resize": "64"}, "resize", 64),
        ({"resize": "64x80"}, "resize", (64, 80)),
        ({"resize": "64X80"}, "resize", (64, 80)),
        ({"resize": "none"}, "resize", None),
        ({"crop": 16}, "crop", (16, 16)),
        ({"crop": "16x24"}, "crop", (16, 24)),
        ({"crop": "None"}, "crop", None),
        ({"mean": (0.0, 0.0, 0.0)}, "mean", (0.0, 0.0, 0.0)),
        ({"std": (1.0, 1.0, 1.0)}, "std", (1.0, 1.0, 1.0)),
    ],
)
def test_settings_replace_one_field(settings, field, value):
    changed = FrameSettings(**settings).change(CLIP)
    assert getattr(changed, field) == value
    others = {"resize", "crop", "mean", "std", "length"} - {field}
    assert all(getattr(changed, name) == getattr(CLIP, name) for name in others)


@pytest.mark.parametrize("size", ["big", "0", "-3", "3x", "3x4x5", "3.5", ""])
@pytest.mark.parametrize("flag", ["resize", "crop"])
def test_invalid_sizes_are_refused(flag, size):
    message = f"--{flag} must be pixels like 256 or 128x171 (height x width), or none, not {size!r}"
    with pytest.raises(UsageError, match=re.escape(message)):
        FrameSettings(**{flag: size}).change(CLIP)


def test_crop_larger_than_the_frames_is_refused():
    with pytest.raises(ValueError, match="larger than frames resized to"):
        FrameSettings(crop="64x64").change(CLIP)
