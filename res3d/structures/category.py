"""Object classes with their names, keypoints and skeletons."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Category:
    """An object class.

    Raises:
        ValueError: an edge of the skeleton is not a pair of indices of ``keypoints``.
    """

    name: str
    keypoints: tuple[str, ...] = ()
    """Names of the keypoints."""
    skeleton: tuple[tuple[int, int], ...] = ()
    """Edges as pairs of indices of ``keypoints``, from 0 (COCO files count from 1)."""

    def __post_init__(self) -> None:
        for edge in self.skeleton:
            if len(edge) != 2 or not all(0 <= end < len(self.keypoints) for end in edge):
                raise ValueError(
                    f"category {self.name!r}: a skeleton edge must be two indices from 0 and below "
                    f"{len(self.keypoints)}, not {edge!r}"
                )


COCO_KEYPOINTS = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow"),
    *("right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle"),
    "right_ankle",
)
COCO_SKELETON = (
    *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10)),
    *((1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
)
COCO_PERSON = Category(name="person", keypoints=COCO_KEYPOINTS, skeleton=COCO_SKELETON)
