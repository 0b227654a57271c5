"""Numbers of bytes and parameters, for people."""

from __future__ import annotations


def shown_bytes(n_bytes: float) -> str:
    """Such as "1.6 GB": thousands, not powers of two, as hubs and disks count."""
    return _shown(n_bytes, ("B", "kB", "MB", "GB", "TB"))


def shown_count(n: float) -> str:
    """Such as "420 M"."""
    return _shown(n, ("", "k", "M", "G", "T")).strip()


def _shown(value: float, units: tuple[str, ...]) -> str:
    for unit in units[:-1]:
        if value < 999.5:
            return f"{value:.3g} {unit}" if unit != units[0] else f"{value:.0f} {unit}"
        value /= 1000
    return f"{value:.3g} {units[-1]}"
