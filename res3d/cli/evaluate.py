"""``res3d evaluate``: predicted tracks against the ground truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from res3d.cli.command import Command
from res3d.cli.computing import Computing
from res3d.cli.errors import UsageError, report_error
from res3d.settings import Positional, Short, Shown

if TYPE_CHECKING:
    from res3d.structures import VideoTracks


@dataclass(frozen=True, kw_only=True)
class EvaluateCommand(Command):
    """Score PRED against GT: AP, HOTA, MOTA, IDF1, identity switches; poses and masks too where both have them.

    Each is a CocoVID or PoseTrack18 file (.json), MOTChallenge text (.txt), a table (.csv), or a folder of such files.
    Videos go by name; two single files of which one is text or a table, which name no video, are compared whatever
    they are called. Exit codes: 1 if a file is missing, cannot be read, or is of other videos; 2 for wrong settings.
    """

    paths: Annotated[list[str], Positional("PRED GT")] = field(default_factory=list)
    """Predicted tracks and true ones."""
    json: Annotated[str | None, Shown("FILE")] = None
    """File to write all scores and every identity switch to."""
    switches: int = 20
    """How many identity switches to print."""
    computing: Annotated[Computing, Short()] = field(default_factory=Computing)
    """What is computed on."""

    def run(self) -> int:
        """Print scores."""
        from res3d.evaluation import evaluate
        from res3d.structures.formats import read_tracks

        self._check()
        try:
            found, truth = (read_tracks(path) for path in self.paths)
            report = evaluate(_renamed(found, truth, self.paths), truth)
            if self.json is not None:
                report.to_json(self.json)
        except (ImportError, OSError, ValueError) as error:
            return report_error("evaluate", str(error))
        print(report.table(self.switches))
        return 0

    def _check(self) -> None:
        if len(self.paths) != 2:
            raise UsageError(f"needs two paths, PRED and GT, not {len(self.paths)}")
        if self.switches < 0:
            raise UsageError(f"--switches must be ≥ 0, not {self.switches}")
        if self.json is not None and not Path(self.json).parent.is_dir():
            raise UsageError(f"--json {self.json}: no such folder")


def _renamed(
    found: "Mapping[str, VideoTracks]", truth: "Mapping[str, VideoTracks]", paths: Sequence[str]
) -> "Mapping[str, VideoTracks]":
    """Predictions under the truth's name where the format of one of the two does not hold the video's name."""
    from res3d.structures.formats import format_to_read

    files = [path for path in map(Path, paths) if path.is_file()]
    nameless = any("name" not in format_to_read(path).holds for path in files)
    if nameless and len(found) == len(truth) == 1:
        return dict(zip(truth, found.values(), strict=True))
    return found
