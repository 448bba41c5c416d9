"""What can go wrong with a video file."""


class VideoError(ValueError):
    """A file that cannot be read as a video; the message names the file and says why."""


class TruncatedVideoError(VideoError):
    """A video that ends, or breaks, before the end that it declares."""
