"""Errors of parts whose optional packages are not installed."""


def missing_extra(extra: str, needs: str, reason: ImportError | None = None) -> ImportError:
    """Return the error for a package that an extra of res3d installs.

    Args:
        extra: name of the extra, as in pyproject.toml.
        needs: what needs which package: "tables need pandas".
        reason: the error of the import, where it tells more than that the package is missing.
    """
    shown = "" if reason is None else f" ({reason})"
    return ImportError(f'{needs}: pip install "res3d[{extra}]"{shown}')
