"""Which Fanfare this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def fanfare_version() -> str:
    """The installed version; "0+source" when the package runs without having been installed."""
    try:
        return version("fanfare-music")
    except PackageNotFoundError:
        return "0+source"
