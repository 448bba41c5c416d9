"""Drawing of tracked objects on frames, mostly by supervision.

Masks, trails, boxes, skeletons, names and the time are drawn.
"""

from collections.abc import Mapping
from types import ModuleType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from res3d.structures import Category, FrameTracks
from res3d.viz.colors import color_of, text_color_on

Image = NDArray[np.uint8]
"""[H, W, 3] RGB."""


class _Detections(Protocol):
    """The attribute of ``supervision.Detections`` that is set here."""

    mask: NDArray[np.bool_] | None


class TrackPainter:
    """Draws the tracks of one video, frame by frame in order. Trails show the centers of objects in previous frames.

    Args:
        categories: categories by label, for names and skeletons. A label without a category is drawn as its number.
        trail_frames: length of trails in frames; 0 draws no trails.

    Raises:
        ImportError: supervision, OpenCV or libGL is missing.
    """

    def __init__(self, *, categories: Mapping[int, Category] | None = None, trail_frames: int = 30) -> None:
        self._supervision = _import_supervision()
        self._categories = categories or {}
        self._trail = None
        if trail_frames > 0:
            lookup = self._supervision.ColorLookup.INDEX
            self._trail = self._supervision.TraceAnnotator(trace_length=trail_frames, color_lookup=lookup)

    def draw(self, image: Image, tracks: FrameTracks, seconds: float) -> Image:
        """Return a copy of a frame with its objects. Boxes of filled gaps (score 0) are one pixel thin.

        Args:
            image: uint8 [H, W, 3] RGB.
            tracks: objects of the frame.
            seconds: time of the frame, which is drawn with its number.
        """
        picture: Image = image.copy()
        width = max(1, round(min(image.shape[:2]) / 300))  # of lines, in pixels
        if len(tracks) or self._trail:
            self._draw_objects(picture, tracks, width)
        _write_time(picture, f"{seconds:.2f} s, frame {tracks.frame}", width)
        return picture

    def _draw_objects(self, picture: Image, tracks: FrameTracks, width: int) -> None:
        """Draw masks, trails, boxes, keypoints and names into ``picture``; ``width`` is that of lines in pixels."""
        sv = self._supervision
        colors = self._colors(tracks)
        detections = self._detections(tracks)
        if tracks.masks:
            masked = tracks[[n for n, mask in enumerate(tracks.masks) if mask is not None]]
            masked_detections = self._detections(masked)
            masked_detections.mask = np.stack([mask.decode() for mask in masked.masks or () if mask is not None])
            sv.MaskAnnotator(**self._colors(masked), opacity=0.4).annotate(picture, masked_detections)
        if self._trail is not None:
            self._trail.color, self._trail.thickness = colors["color"], width
            self._trail.annotate(picture, detections)
        for group, thickness in ((tracks[tracks.scores > 0], width), (tracks[tracks.scores == 0], 1)):
            if len(group):
                boxes = sv.BoxAnnotator(**self._colors(group), thickness=thickness)
                boxes.annotate(picture, self._detections(group))
        self._draw_poses(picture, tracks, width)
        if len(tracks):
            text = sv.ColorPalette([self._color(text_color_on(color_of(i))) for i in tracks.ids.tolist()])
            scale = max(0.35, min(picture.shape[:2]) / 1400)
            labels = sv.LabelAnnotator(
                **colors, text_color=text, text_scale=scale, text_padding=2 * width, smart_position=True
            )
            labels.annotate(picture, detections, labels=self._names(tracks))

    def _draw_poses(self, picture: Image, tracks: FrameTracks, width: int) -> None:
        """Draw the visible keypoints, joined as in the skeleton of their category."""
        if tracks.keypoints is None:
            return
        sv = self._supervision
        for n, label in enumerate(tracks.labels.tolist()):
            points, color = tracks.keypoints[n], self._color(color_of(int(tracks.ids[n])))
            visible = points[None, :, 2] > 0
            pose = sv.KeyPoints(xy=points[None, :, :2], visible=visible)
            category = self._categories.get(label)
            if category is not None and category.skeleton and len(category.keypoints) == len(points):
                edges = [(a + 1, b + 1) for a, b in category.skeleton]
                sv.EdgeAnnotator(color=color, thickness=width, edges=edges).annotate(picture, pose)
            sv.VertexAnnotator(color=color, radius=width + 1).annotate(picture, pose)

    def _names(self, tracks: FrameTracks) -> list[str]:
        """Return the name of the category and the id of each object."""
        names = []
        for identity, label in zip(tracks.ids.tolist(), tracks.labels.tolist(), strict=True):
            category = self._categories.get(label)
            names.append(f"{category.name if category else label} {identity}")
        return names

    def _detections(self, tracks: FrameTracks) -> _Detections:
        detections: _Detections = self._supervision.Detections(
            xyxy=tracks.boxes, class_id=tracks.labels, tracker_id=tracks.ids
        )
        return detections

    def _colors(self, tracks: FrameTracks) -> dict[str, object]:
        """Return the arguments of supervision's annotators that select one color per object, by its position."""
        colors = [self._color(color_of(identity)) for identity in tracks.ids.tolist()] or [self._color((0, 0, 0))]
        return {"color": self._supervision.ColorPalette(colors), "color_lookup": self._supervision.ColorLookup.INDEX}

    def _color(self, rgb: tuple[int, int, int]) -> object:
        """Return a color with red and blue swapped: supervision draws on BGR images, and pictures here are RGB."""
        return self._supervision.Color(r=rgb[2], g=rgb[1], b=rgb[0])


def _write_time(picture: Image, text: str, width: int) -> None:
    """Draw white text on a dark background at the bottom left."""
    import cv2

    font, scale, gap = cv2.FONT_HERSHEY_SIMPLEX, max(0.35, min(picture.shape[:2]) / 1400), 2 * width
    (text_width, ascent), descent = cv2.getTextSize(text, font, scale, 1)
    bottom = picture.shape[0] - 1
    corner = (0, bottom - ascent - descent - 2 * gap)
    cv2.rectangle(picture, corner, (text_width + 2 * gap, bottom), (40, 40, 40), thickness=-1)
    cv2.putText(picture, text, (gap, bottom - descent - gap), font, scale, (255, 255, 255), 1, cv2.LINE_AA)


def _import_supervision() -> ModuleType:
    try:
        import supervision
    except ImportError as error:  # also raised if libGL is missing, which OpenCV needs
        raise ImportError(f"drawing needs supervision, OpenCV and the system library libGL ({error})") from None
    return supervision
