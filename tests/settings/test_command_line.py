import re
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest

from res3d.settings import (
    Alias,
    Choice,
    Deprecated,
    Group,
    Positional,
    Short,
    Shown,
    Tagged,
    Variant,
    deprecation_lines,
    dump_dataclass,
    format_help,
    read_settings,
    split_words,
)

TYPES = ("auto", "float32", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class Clips:
    length: int = 8
    """Frames per clip."""
    crop: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Link:
    """Linking of detections."""

    max_tracks: int | None = None
    """Number of objects, if it is known."""
    costs: tuple[Clips, ...] = ()
    motion: Literal["velocity", "none"] = "velocity"
    """Motion model of tracks."""

    def __post_init__(self) -> None:
        if self.max_tracks == 0:
            raise ValueError("max_tracks must be ≥ 1, not 0")


DATA = {"clips": Clips, "link": Link}


@dataclass(frozen=True, kw_only=True)
class Track:
    """Track objects.

    A second paragraph, which
    is filled.
    """

    videos: Annotated[list[str], Positional("[VIDEO ...]")] = field(default_factory=list)
    """Files or folders."""
    out: Annotated[str, Group("output"), Shown("FOLDER")] = "tracks"
    """Folder for the results."""
    draw: Annotated[bool, Group("output")] = True
    """Draw the tracks."""
    formats: Annotated[list[Annotated[str, Choice({"mot": 1, "table": 2})]], Group("output")] = field(
        default_factory=list
    )
    """Formats of the files."""
    dtype: Annotated[str, Choice(TYPES, {"bf16": "bfloat16"}), Alias("number_type"), Deprecated("precision")] = "auto"
    """Number type."""
    clips: Annotated[Clips, Short("clip_{}", "{}")] = Clips()
    """Sampling of clips."""
    link: Annotated[Link, Short()] = Link()
    rates: dict[str, float] = field(default_factory=dict)
    unfreeze: dict[int, int] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    data: Annotated[Variant[Any] | None, Tagged(DATA)] = None
    mover: Annotated[Clips | Link | None, Tagged(DATA, bare=True)] = None
    pause: float | None = None


def read(*arguments: str) -> Track:
    return read_settings(Track, split_words(Track, arguments))


@pytest.mark.parametrize(
    ("arguments", "changes"),
    [
        (["a", "--out", "x", "b"], {"videos": ["a", "b"], "out": "x"}),
        (["--videos", "a,b"], {"videos": ["a", "b"]}),
        (["--no-draw"], {"draw": False}),
        (["--no-draw", "--draw"], {}),
        (["--draw=false"], {"draw": False}),
        (["--formats", "mot,table"], {"formats": ["mot", "table"]}),
        (["--formats="], {}),
        (["--dtype", "bf16"], {"dtype": "bfloat16"}),
        (["--number-type", "float32"], {"dtype": "float32"}),
        (["--precision", "float32"], {"dtype": "float32"}),
        (["--clips.length", "3"], {"clips": Clips(length=3)}),
        (["--clip-length", "3"], {"clips": Clips(length=3)}),
        (["--length=3", "--clip_crop", "4,5"], {"clips": Clips(length=3, crop=(4, 5))}),
        (["--clips", "{length: 3}", "--crop", "[4, 5]"], {"clips": Clips(length=3, crop=(4, 5))}),
        (["--link.max-tracks", "2", "--max-tracks", "3"], {"link": Link(max_tracks=3)}),
        (["--max-tracks", "none"], {}),
        (["--costs", "[{length: 3}, {}]"], {"link": Link(costs=(Clips(length=3), Clips()))}),
        (["--rates.backbone.conv5", "1e-1"], {"rates": {"backbone.conv5": 0.1}}),
        (["--unfreeze.5", "2", "--unfreeze.7", "1"], {"unfreeze": {5: 2, 7: 1}}),
        (["--model.a.b", "1e-3", "--model.c=[x, 2]"], {"model": {"a": {"b": 0.001}, "c": ["x", 2]}}),
        (["--mover", "clips", "--mover.length", "3"], {"mover": Clips(length=3)}),
        (["--mover.kind", "link", "--mover.motion", "none"], {"mover": Link(motion="none")}),
        (["--pause", "-1"], {"pause": -1.0}),
        (["--", "--out", "-1"], {"videos": ["--out", "-1"]}),
    ],
)
def test_every_name_of_a_flag_sets_its_field(arguments, changes):
    assert read(*arguments) == Track(**changes)


def test_configurations_are_merged_and_accept_short_names(tmp_path):
    (tmp_path / "a.yaml").write_text("out: x\nlength: 3\nlink: {max_tracks: 2}\nmodel: {a: 1, b: 2}\n")
    (tmp_path / "b.yaml").write_text("clips: {crop: [1, 2]}\nlink.motion: none\nmodel: {b: 3}\n")
    merged = read("--max-tracks", "4", "--config", str(tmp_path / "a.yaml"), "--config", str(tmp_path / "b.yaml"))
    assert merged == Track(
        out="x", clips=Clips(length=3, crop=(1, 2)), link=Link(max_tracks=4, motion="none"), model={"b": 3}
    )


def test_flags_change_single_keys_of_a_mapping_but_not_its_aliases(tmp_path):
    (tmp_path / "a.yaml").write_text("model: &m {a: {b: 1}}\ndata: {kind: clips, length: 4}\nrates: {x: 1}\n")
    run = read("--config", str(tmp_path / "a.yaml"), "--model.a.c", "2", "--data.crop", "1,2", "--data.length", "5")
    assert run.model == {"a": {"b": 1, "c": 2}}
    assert run.data.build() == Clips(length=5, crop=(1, 2))
    assert run.rates == {"x": 1.0}


def test_dumped_settings_are_read_back(tmp_path):
    run = read("--max-tracks", "2", "--data", "{kind: link, max_tracks: 3}", "--no-draw", "a")
    (tmp_path / "c.yaml").write_text(dump_dataclass(run, defaults=True))
    assert read("--config", str(tmp_path / "c.yaml")) == run
    assert "max_tracks: 2" in (tmp_path / "c.yaml").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--max-track", "2"], "unknown option '--max-track'; did you mean '--max-tracks'?"),
        (["--link.max-track", "2"], "unknown option '--link.max-track'; did you mean '--link.max-tracks'?"),
        (["--no-out"], "unknown option '--no-out'"),
        (["-x"], "unknown option '-x'; see --help"),
        (["--confg", "x"], "unknown option '--confg'; did you mean '--config'?"),
        (["--out"], "--out needs a value (Folder for the results)"),
        (["--out", "--draw"], "--out needs a value (Folder for the results)"),
        (["--max-tracks", "x"], "--max-tracks: expected a whole number, not 'x'"),
        (["--max-tracks", "0"], "link: max_tracks must be ≥ 1, not 0"),
        (["--dtype", "bfloat"], "--dtype: expected one of auto, float32, bfloat16, not 'bfloat'; did you mean"),
        (["--motion", "no"], "--motion: expected one of velocity, none, not 'no'"),
        (["--formats", "mot,avi"], "--formats[1]: expected one of mot, table, not 'avi'"),
        (["--crop", "1"], "--crop: expected 2 values, not [1]"),
        (["--draw=maybe"], "--draw: expected true or false, not 'maybe'"),
        (["--data.length", "3"], "data.kind must be one of clips, link, and is missing"),
        (["--data.kind", "clips", "--data.lenght", "3"], "data: unknown key 'lenght'; did you mean 'length'?"),
        (["--data.kind", "clips", "--data.length", "x"], "--data.length: expected a whole number, not 'x'"),
        (["--rates.a", "x"], "--rates.a: expected a number, not 'x'"),
        (["--model", "3"], "--model: expected a mapping, not 3"),
        (["--config", "nowhere.yaml"], "--config nowhere.yaml: No such file or directory"),
    ],
)
def test_error_of_a_command_line_names_the_flag_in_one_line(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        read(*arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ot: x", "c.yaml: unknown key 'ot'; did you mean 'out'? (accepted: videos, out, draw"),
        ("link: {max_track: 2}", "c.yaml: link: unknown key 'max_track'; did you mean 'max_tracks'?"),
        ("link: {max_tracks: x}", "c.yaml: link.max_tracks: expected a whole number, not 'x'"),
        ("link: 3", "c.yaml: link: expected the keys of Link, not 3"),
        ("length: 3\nclips: {length: 4}", "c.yaml: 'clips.length' is set twice"),
        ("data: {kind: clip}", "data.kind must be one of clips, link, not 'clip'; did you mean 'clips'?"),
        ("- a", "c.yaml: expected a mapping of settings, not ['a']"),
        ("out: [x", "c.yaml is not valid YAML"),
    ],
)
def test_error_of_a_configuration_names_the_file_and_key(tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        read("--config", "c.yaml")


def test_error_of_a_binary_configuration_names_the_file(tmp_path):
    (tmp_path / "c.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"c\.yaml: not UTF-8 text"):
        read("--config", str(tmp_path / "c.yaml"))


def test_deprecation_line_has_the_new_name():
    assert deprecation_lines(split_words(Track, ["--precision", "auto", "--length", "3"])) == [
        "--precision is now called --dtype"
    ]


def test_two_settings_with_the_same_name_raise_type_error():
    @dataclass(frozen=True)
    class Twice:
        length: int = 3
        clips: Annotated[Clips, Short()] = Clips()

    with pytest.raises(TypeError, match="'length' is"):
        split_words(Twice, ["--length", "3"])


def test_help_has_headings_docstrings_choices_and_defaults(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    text = format_help(Track, "res3d track")
    assert text.startswith(
        "usage: res3d track [options] [VIDEO ...]\n\nTrack objects.\n\nA second paragraph, which is filled.\n"
    )
    for line in (
        "output:",
        "  --out FOLDER            Folder for the results. (default: tracks)",
        "  --draw, --no-draw       Draw the tracks. (default: on)",
        "  --formats mot|table,...\n                          Formats of the files.",
        "  --dtype auto|float32|bfloat16\n                          Number type. (default: auto)",
        "clips (sampling of clips, also as --clips.NAME):",
        "  --clip-length N         Frames per clip. (default: 8)",
        "  --clip-crop N,N",
        "  --max-tracks N          Number of objects, if it is known.",
        "  --data {kind: clips|link, ...}",
        "general:",
    ):
        assert line in text
    assert "None" not in text
    assert "precision" not in text
    assert max(map(len, text.splitlines())) <= 100
