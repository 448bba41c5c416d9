import pytest

from res3d.cli.clip_settings import NetworkClips, NetworkReader, choose_clip
from res3d.cli.frame_settings import FrameSettings
from res3d.clips import ClipSpec

TRAINED_ON = ClipSpec(length=8, step=2, fps=12.5, resize=(40, 50), crop=(32, 32), mean=(0.1,) * 3, std=(0.5,) * 3)


def choose(trained_on=None, clips=None, frames=None, reader=None) -> ClipSpec:
    return choose_clip(trained_on, clips or NetworkClips(), frames or FrameSettings(), reader or NetworkReader())


def test_weights_without_a_clip_spec_get_16_frames_of_the_kinetics_preset():
    """The preset of torchvision's video models."""
    clip = choose()
    assert (clip.length, clip.step, clip.fps) == (16, 1, None)
    assert (clip.resize, clip.crop) == ((128, 171), (112, 112))
    assert clip.mean == (0.43216, 0.394666, 0.37645)
    assert clip.std == (0.22803, 0.22145, 0.216989)


def test_clip_spec_of_the_weights_is_used():
    assert choose(TRAINED_ON) == TRAINED_ON


def test_settings_override_the_clip_spec_of_the_weights():
    changed = choose(
        TRAINED_ON,
        clips=NetworkClips(length=4, step=1, stride=3),
        frames=FrameSettings(crop="16x16"),
        reader=NetworkReader(fps=5.0),
    )
    assert (changed.length, changed.step, changed.fps, changed.crop) == (4, 1, 5.0, (16, 16))
    assert (changed.resize, changed.mean) == (TRAINED_ON.resize, TRAINED_ON.mean)


def test_values_out_of_range_are_refused():
    with pytest.raises(ValueError, match="clip length must be a whole number from 1"):
        choose(clips=NetworkClips(length=0))
