"""Errors of video files."""


class VideoError(ValueError):
    """The file cannot be read as a video; the message names the file and the reason."""


class TruncatedVideoError(VideoError):
    """The video is damaged, or ends before the end that it declares."""
