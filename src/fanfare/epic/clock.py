"""When training stops: stages have minutes of their own, and a command has an end."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass


@dataclass
class Deadline:
    """The moment at which whatever runs is to be saved and left; by default never.

    Attributes:
        at_s: on the monotonic clock.
    """

    at_s: float = math.inf

    @staticmethod
    def after(minutes: float | None, started_s: float | None = None) -> Deadline:
        """So many minutes after `started_s`, or after now."""
        if minutes is None:
            return Deadline()
        return Deadline((time.monotonic() if started_s is None else started_s) + 60 * minutes)

    @property
    def has_come(self) -> bool:
        """Whether it is time to stop."""
        return time.monotonic() >= self.at_s

    def minutes_left(self) -> float:
        """Until then."""
        return (self.at_s - time.monotonic()) / 60
