"""Error message for an optional package that is not installed."""


def missing_extra(extra: str, needs: str, reason: ImportError | None = None) -> ImportError:
    """Return the error for a missing package that an extra of res3d installs.

    Args:
        extra: name of the extra in pyproject.toml.
        needs: the feature and the package that it needs: "tables need pandas".
        reason: error of the import, if it has more information than that the package is missing.
    """
    details = "" if reason is None else f" ({reason})"
    return ImportError(f'{needs}: pip install "res3d[{extra}]"{details}')
