"""``res3d evaluate``: predicted tracks against the ground truth."""

from pathlib import Path

from res3d.cli.command import UsageError
from res3d.cli.inputs import complain
from res3d.evaluation import evaluate as evaluate_tracks
from res3d.structures import VideoTracks
from res3d.structures.formats import format_to_read, read_tracks

Videos = dict[str, VideoTracks]


def evaluate(paths: list[str], *, json: str | None = None, switches: int = 20) -> int:
    """Score PRED against GT: AP, HOTA, MOTA, IDF1, identity switches; poses and masks too where both have them.

    Each is a CocoVID or PoseTrack18 file (.json), MOTChallenge text (.txt), a table (.csv), or a folder of such files.
    Videos go by name; two single files of which one is text or a table, which name no video, are compared whatever
    they are called. Exit codes: 1 if a file is missing, cannot be read, or is of other videos; 2 for wrong settings.

    Args:
        paths: PRED GT - predicted tracks and true ones
        json: file to write all scores and every identity switch to
        switches: how many identity switches to print
    """
    if len(paths) != 2:
        raise UsageError(f"needs two paths, PRED and GT, not {len(paths)}")
    if switches < 0:
        raise UsageError(f"--switches must be ≥ 0, not {switches}")
    if json is not None and not Path(json).parent.is_dir():
        raise UsageError(f"--json {json}: no such folder")
    try:
        found, truth = (read_tracks(path) for path in paths)
        report = evaluate_tracks(_renamed(found, truth, paths), truth)
        if json is not None:
            report.to_json(json)
    except (ImportError, OSError, ValueError) as error:
        return complain("evaluate", str(error))
    print(report.table(switches))
    return 0


def _renamed(found: Videos, truth: Videos, paths: list[str]) -> Videos:
    """Predictions under the truth's name where the format of one of the two does not hold the video's name."""
    files = [path for path in map(Path, paths) if path.is_file()]
    nameless = any("name" not in format_to_read(path).holds for path in files)
    if nameless and len(found) == len(truth) == 1:
        return dict(zip(truth, found.values(), strict=True))
    return found
