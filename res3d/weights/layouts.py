"""Layouts of checkpoints: tables that map other libraries' tensor names to those of ``ResNet3d``.

The left side of a table is a pattern of the checkpoint's keys. The right side is the name in ``ResNet3d``, or ``fc.*``
for a classifier's linear layer. Placeholders in braces are alternatives listed in ``words``. A new family of
checkpoints is one more table. ``recognise`` finds the layout of a checkpoint from its keys.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

IGNORED = ""  # the name of tensors that no backbone and no classifier has

_LEAVES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
_COMMON = {
    "leaf": {name: name for name in _LEAVES},
    "block": {r"\d+": r"\g<0>"},
    "n": {"1": "a", "2": "b", "3": "c"},
    "layer": {f"layer{i}": f"conv{i + 1}" for i in (1, 2, 3, 4)},
    "res": {f"res{i}": f"conv{i}" for i in (2, 3, 4, 5)},
    "any": {".*": ""},
}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The tensor names of one family of checkpoints."""

    name: str
    """Name in load reports and error messages."""
    keys: Mapping[str, str]
    """Names in res3d, or ``IGNORED``, by pattern of the checkpoint's keys. The first pattern that matches decides."""
    words: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """The alternatives of each placeholder: regular expressions in the checkpoint's keys, and their replacements in the
    names of res3d. A text that matches a regular expression without being equal to it is not replaced."""
    prefixes: tuple[str, ...] = ()
    """Prefixes that are removed from the checkpoint's keys."""
    stride_on: Literal["3x3", "1x1"] | None = None
    """The convolution with the stride in bottlenecks; None: the spec in the file determines it."""
    order: Literal["post"] | None = "post"
    """Order of the layers in blocks; None: the spec in the file determines it."""
    channel_order: Literal["rgb", "bgr"] = "rgb"
    """Channel order of the clips or images that the checkpoints were trained on."""
    affine_norm: bool = False
    """True if norms have only a scale and a shift, into which the running statistics are folded."""
    neutral: Mapping[str, float] = field(default_factory=dict)
    """Constants, by name in res3d, for tensors that these checkpoints lack; they do not change the results."""

    def rename(self, key: str) -> str | None:
        """Return the name in res3d of a checkpoint's key; IGNORED for tensors that res3d does not need.

        Returns None for a key that this layout does not have.
        """
        for prefix in self.prefixes:
            key = key.removeprefix(prefix)
        for pattern, name in self._patterns:
            if match := pattern.fullmatch(key):
                return _replace_placeholders(name, match, self._all_words)
        return None

    @cached_property
    def _all_words(self) -> dict[str, Mapping[str, str]]:
        return {**_COMMON, **self.words}

    @cached_property
    def _patterns(self) -> tuple[tuple[re.Pattern[str], str], ...]:
        def group(match: re.Match[str]) -> str:
            return f"(?P<{match[1]}>{'|'.join(self._all_words[match[1]])})"

        compiled = []
        for pattern, name in self.keys.items():
            parts = re.split(r"(\{\w+\})", pattern)
            text = "".join(re.sub(r"\{(\w+)\}", group, p) if p.startswith("{") else re.escape(p) for p in parts)
            compiled.append((re.compile(text), name))
        return tuple(compiled)


def recognise(keys: Iterable[str], layouts: Sequence[Layout] | None = None) -> Layout:
    """Return the layout that has names for most of a checkpoint's keys; of several, the first.

    Args:
        keys: the keys of the checkpoint.
        layouts: the candidates; by default the layouts of backbones and classifiers.

    Raises:
        ValueError: no layout has names for more than half of the keys.
    """
    keys, layouts = list(keys), LAYOUTS if layouts is None else layouts
    counts = {layout.name: sum(layout.rename(key) is not None for key in keys) for layout in layouts}
    best = max(layouts, key=lambda layout: counts[layout.name])
    if not keys or counts[best.name] * 2 <= len(keys):
        first = f" (first {keys[0]!r})" if keys else ""
        names = ", ".join(layout.name for layout in layouts)
        raise ValueError(f"{len(keys)} keys{first} match no layout (accepted: {names})")
    return best


def _replace_placeholders(name: str, match: re.Match[str], words: Mapping[str, Mapping[str, str]]) -> str:
    def replacement(placeholder: re.Match[str]) -> str:
        text = match[placeholder[1]]
        return words[placeholder[1]].get(text, text)

    return re.sub(r"\{(\w+)\}", replacement, name)


RES3D = Layout(
    name="res3d",
    words={
        "stage": {s: s for s in ("stem", "conv2", "conv3", "conv4", "conv5")},
        "rest": {r"(?:conv|norm|\d+)\..*": ""},
        "head": {r"neck|tpn|\w+_head": ""},  # of a detector
    },
    keys={
        "{stage}.{rest}": "{stage}.{rest}",
        "fc.{leaf}": "fc.{leaf}",
        "{head}.{any}": IGNORED,
    },
    prefixes=("backbone.",),
    order=None,
)

RESNET = Layout(  # of torchvision (images), timm, 3D-ResNets (Hara) and I3ResNet; only their tensor shapes differ
    name="torchvision resnet",
    words={"head": {r"backbone\.fpn|rpn|roi_heads": ""}},
    keys={
        "conv1.weight": "stem.conv.weight",
        "bn1.{leaf}": "stem.norm.{leaf}",
        "{layer}.{block}.conv{n}.weight": "{layer}.{block}.branch.{n}.conv.weight",
        "{layer}.{block}.bn{n}.{leaf}": "{layer}.{block}.branch.{n}.norm.{leaf}",
        "{layer}.{block}.downsample.0.weight": "{layer}.{block}.shortcut.conv.weight",
        "{layer}.{block}.downsample.1.{leaf}": "{layer}.{block}.shortcut.norm.{leaf}",
        "fc.{leaf}": "fc.{leaf}",
        "classifier.{leaf}": "fc.{leaf}",  # I3ResNet: a 1×1×1 convolution
        "{head}.{any}": IGNORED,
    },
    prefixes=("backbone.body.",),  # of torchvision's detectors
    stride_on="3x3",
)

TORCHVISION_VIDEO = Layout(
    name="torchvision video",
    keys={
        "stem.0.weight": "stem.conv.weight",
        "stem.1.{leaf}": "stem.norm.{leaf}",
        "{layer}.{block}.conv{n}.0.weight": "{layer}.{block}.branch.{n}.conv.weight",
        "{layer}.{block}.conv{n}.1.{leaf}": "{layer}.{block}.branch.{n}.norm.{leaf}",
        "{layer}.{block}.downsample.0.weight": "{layer}.{block}.shortcut.conv.weight",
        "{layer}.{block}.downsample.1.{leaf}": "{layer}.{block}.shortcut.norm.{leaf}",
        "fc.{leaf}": "fc.{leaf}",
    },
    stride_on="3x3",
)

TORCHVISION_R2PLUS1D = Layout(
    name="torchvision r2plus1d",
    words={"factor": {"0": "spatial", "1": "norm", "3": "temporal"}},
    keys={
        "stem.{factor}.{leaf}": "stem.conv.{factor}.{leaf}",
        "stem.4.{leaf}": "stem.norm.{leaf}",
        "{layer}.{block}.conv{n}.0.{factor}.{leaf}": "{layer}.{block}.branch.{n}.conv.{factor}.{leaf}",
        "{layer}.{block}.conv{n}.1.{leaf}": "{layer}.{block}.branch.{n}.norm.{leaf}",
        "{layer}.{block}.downsample.0.weight": "{layer}.{block}.shortcut.conv.weight",
        "{layer}.{block}.downsample.1.{leaf}": "{layer}.{block}.shortcut.norm.{leaf}",
        "fc.{leaf}": "fc.{leaf}",
    },
    stride_on="3x3",
)


def _pytorchvideo(name: str, stages: Mapping[str, str], head: str) -> Layout:
    return Layout(
        name=name,
        words={
            "stage": stages,
            "c": {"a": "a", "b": "b", "c": "c"},
            "factor": {"conv_t": "temporal", "conv_xy": "spatial", "norm": "norm"},
        },
        keys={
            "blocks.0.{any}": "stem.{any}",
            "blocks.{stage}.res_blocks.{block}.branch1_conv.weight": "{stage}.{block}.shortcut.conv.weight",
            "blocks.{stage}.res_blocks.{block}.branch1_norm.{leaf}": "{stage}.{block}.shortcut.norm.{leaf}",
            "blocks.{stage}.res_blocks.{block}.branch2.conv_{c}.weight": "{stage}.{block}.branch.{c}.conv.weight",
            "blocks.{stage}.res_blocks.{block}.branch2.conv_{c}.{factor}.{leaf}": (
                "{stage}.{block}.branch.{c}.conv.{factor}.{leaf}"
            ),
            "blocks.{stage}.res_blocks.{block}.branch2.norm_{c}.{leaf}": "{stage}.{block}.branch.{c}.norm.{leaf}",
            f"blocks.{head}.proj.{{leaf}}": "fc.{leaf}",
        },
        stride_on="3x3",
    )


PYTORCHVIDEO = _pytorchvideo("pytorchvideo", {str(i): f"conv{i + 1}" for i in (1, 2, 3, 4)}, head="5")
PYTORCHVIDEO_POOLED = _pytorchvideo(  # C2D and I3D, whose block 2 is a pooling layer
    "pytorchvideo, pooled", {"1": "conv2", "3": "conv3", "4": "conv4", "5": "conv5"}, head="6"
)

MMACTION2 = Layout(
    name="mmaction2",
    keys={
        "conv1.conv.weight": "stem.conv.weight",
        "conv1.bn.{leaf}": "stem.norm.{leaf}",
        "{layer}.{block}.conv{n}.conv.weight": "{layer}.{block}.branch.{n}.conv.weight",
        "{layer}.{block}.conv{n}.bn.{leaf}": "{layer}.{block}.branch.{n}.norm.{leaf}",
        "{layer}.{block}.downsample.conv.weight": "{layer}.{block}.shortcut.conv.weight",
        "{layer}.{block}.downsample.bn.{leaf}": "{layer}.{block}.shortcut.norm.{leaf}",
        "cls_head.fc_cls.{leaf}": "fc.{leaf}",
        "data_preprocessor.{any}": IGNORED,
    },
    prefixes=("backbone.",),
    stride_on="3x3",
)

CAFFE2 = Layout(
    name="caffe2",
    words={
        "affine": {"s": "weight", "b": "bias"},
        "wb": {"w": "weight", "b": "bias"},
        "c": {"a": "a", "b": "b", "c": "c"},
        "heads": {"(?:conv_)?rpn|fpn|bbox|cls_score|pred|kps|mask|conv_fcn|_\\[mask\\]|fc6|fc7|retnet|vis": ""},
    },
    keys={
        "conv1_w": "stem.conv.weight",
        "res_conv1_bn_{affine}": "stem.norm.{affine}",
        "{res}_{block}_branch2{c}_w": "{res}.{block}.branch.{c}.conv.weight",
        "{res}_{block}_branch2{c}_bn_{affine}": "{res}.{block}.branch.{c}.norm.{affine}",
        "{res}_{block}_branch1_w": "{res}.{block}.shortcut.conv.weight",
        "{res}_{block}_branch1_bn_{affine}": "{res}.{block}.shortcut.norm.{affine}",
        "fc1000_{wb}": "fc.{wb}",
        "conv1_b": IGNORED,  # Caffe2's ImageNet files contain it, and it is zero
        "{any}_momentum": IGNORED,
        "{heads}{any}": IGNORED,
        "lr": IGNORED,
        "weight_order": IGNORED,
    },
    stride_on="1x1",
    channel_order="bgr",
    affine_norm=True,
)

DETECTRON2 = Layout(
    name="detectron2",
    words={
        "head": {"proposal_generator|roi_heads|fpn_lateral\\d|fpn_output\\d|pixel_mean|pixel_std|anchor_generator": ""}
    },
    keys={
        "stem.conv1.weight": "stem.conv.weight",
        "stem.conv1.norm.{leaf}": "stem.norm.{leaf}",
        "{res}.{block}.conv{n}.weight": "{res}.{block}.branch.{n}.conv.weight",
        "{res}.{block}.conv{n}.norm.{leaf}": "{res}.{block}.branch.{n}.norm.{leaf}",
        "{res}.{block}.shortcut.weight": "{res}.{block}.shortcut.conv.weight",
        "{res}.{block}.shortcut.norm.{leaf}": "{res}.{block}.shortcut.norm.{leaf}",
        "linear.{leaf}": "fc.{leaf}",
        "{head}{any}": IGNORED,
    },
    prefixes=("backbone.bottom_up.", "backbone."),
    stride_on="1x1",
    channel_order="bgr",
)

LAYOUTS = (
    RES3D,
    RESNET,
    TORCHVISION_VIDEO,
    TORCHVISION_R2PLUS1D,
    PYTORCHVIDEO,
    PYTORCHVIDEO_POOLED,
    MMACTION2,
    CAFFE2,
    DETECTRON2,
)
