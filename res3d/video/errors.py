"""Errors of video files."""


class VideoError(ValueError):
    """Error for a file that cannot be read as a video; the message names the file and the reason."""


class TruncatedVideoError(VideoError):
    """Error for a video that is damaged or ends before its declared end."""
