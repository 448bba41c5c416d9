"""``res3d evaluate``: score predicted tracks against the ground truth."""

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
    """Score predicted tracks (PRED) against the ground truth (GT): AP, HOTA, MOTA, IDF1 and identity switches.

    Poses and masks are scored too if both have them. PRED and GT are each a CocoVID or PoseTrack18 file (.json), a
    MOTChallenge file (.txt), a table (.csv), or a folder of such files. Videos are matched by name. MOTChallenge files
    and tables do not record the name of their video; if PRED or GT is such a file and both have one video, the two are
    compared regardless of their names. The exit code is 0 after success, 1 if a file is missing, cannot be read or is
    of other videos, 2 for invalid settings.
    """

    paths: Annotated[list[str], Positional("PRED GT")] = field(default_factory=list)
    """File or folder of the predicted tracks, then file or folder of the ground truth."""
    json: Annotated[str | None, Shown("FILE")] = None
    """JSON file to write all scores and all identity switches to."""
    switches: int = 20
    """Number of identity switches to print."""
    computing: Annotated[Computing, Short()] = field(default_factory=Computing)
    """Number of CPU threads."""

    def run(self) -> int:
        """Print the scores, and write them to a file if one is named."""
        from res3d.evaluation import evaluate
        from res3d.structures.formats import read_tracks

        self._check()
        try:
            predictions, truth = (read_tracks(path) for path in self.paths)
            report = evaluate(_match_names(predictions, truth, self.paths), truth)
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


def _match_names(
    predictions: "Mapping[str, VideoTracks]", truth: "Mapping[str, VideoTracks]", paths: Sequence[str]
) -> "Mapping[str, VideoTracks]":
    """Return the predictions by the name of the video.

    If both have one video and the format of one of the files does not record its name, it is the name in the ground
    truth.
    """
    from res3d.structures.formats import format_to_read

    files = [path for path in map(Path, paths) if path.is_file()]
    nameless = any("name" not in format_to_read(path).holds for path in files)
    if nameless and len(predictions) == len(truth) == 1:
        return dict(zip(truth, predictions.values(), strict=True))
    return predictions
