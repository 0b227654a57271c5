"""What a damaged or hostile file may do to a process: nothing, within limits."""

from __future__ import annotations

import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fanfare.errors import FanfareError

LIMIT_S = 10.0
LIMIT_MB = 100
MAX_MESSAGE = 2000


class TookTooLong(BaseException):
    """Not an Exception: nobody may catch it."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Interrupt what takes longer, of this process's own time, however busy the machine is."""

    def stop(*_: Any) -> None:
        raise TookTooLong(f"more than {seconds} s")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def peak_mb() -> float:
    """The most memory that this process ever had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def outcome(load: Callable[[], object]) -> str:
    """ "loaded", "refused: " and why, or what is wrong."""
    before = peak_mb()
    try:
        with time_limit(LIMIT_S):
            load()
        result = "loaded"
    except FanfareError as error:
        text = str(error)
        is_fit = 0 < len(text) <= MAX_MESSAGE
        result = f"refused: {text}" if is_fit else f"a message of {len(text)} characters"
    except (Exception, TookTooLong) as error:
        result = f"{type(error).__name__}: {error}"[:300]
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # of the tokenizers' library
            raise
        result = f"{type(error).__name__}: {error}"[:300]
    grown = peak_mb() - before
    return f"{grown:.0f} MB more" if grown > LIMIT_MB else result


def check_refused(act: Callable[[], object], complaint: str) -> None:
    """Assert that an act is refused, and that the reason says this much."""
    result = outcome(act)
    assert result.startswith("refused: "), result
    assert complaint in result, result
