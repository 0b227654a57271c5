"""Memory that is free, given back to the system."""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Hand what this process has freed back to the system, where its allocator lets one.

    glibc keeps up to some hundred megabytes of what loading and generating needed for a while.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError, TypeError):  # another allocator, or system
        return
