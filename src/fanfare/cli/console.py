"""What the commands have in common: errors, notices, signs of life, facts as lines."""

from __future__ import annotations

import logging
import math
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import typer

from fanfare.errors import FanfareError, InputError

if TYPE_CHECKING:
    from rich.status import Status

EXIT_FAILURE, EXIT_BAD_INPUT, EXIT_INTERRUPTED = 1, 2, 130


class Interruption:
    """Whether Ctrl-C was pressed.

    Libraries that call Python back, such as those that write sound, swallow the exception that it
    raises: whoever works in a loop asks now and then.
    """

    def __init__(self) -> None:
        self.is_pressed = False

    def __call__(self, *_: object) -> None:
        """The signal's handler."""
        self.is_pressed = True
        raise KeyboardInterrupt

    def check(self) -> None:
        """Raise KeyboardInterrupt if it was pressed."""
        if self.is_pressed:
            raise KeyboardInterrupt


@contextmanager
def reported() -> Iterator[Interruption]:
    """Errors as one line on standard error and an exit code; Ctrl-C likewise."""
    interruption = Interruption()
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, interruption) if is_main else None
    try:
        yield interruption
        interruption.check()
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_BAD_INPUT) from None
    except FanfareError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_FAILURE) from None
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    finally:
        if is_main:
            signal.signal(signal.SIGINT, before)


def is_watched(quiet: bool) -> bool:
    """Whether somebody looks at standard error while the command runs."""
    return sys.stderr.isatty() and not quiet


class Notices(logging.Handler):
    """What is logged goes to standard error; a spinner that turns there makes way for it."""

    def __init__(self, *, quiet: bool) -> None:
        super().__init__(logging.WARNING if quiet else logging.INFO)
        self.is_watched = is_watched(quiet)
        self._status: Status | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Print a message."""
        if self._status is not None:
            self._status.stop()
        typer.echo(record.getMessage(), err=True)

    @contextmanager
    def busy(self, doing: str) -> Iterator[None]:
        """A sign of life where somebody watches, until there is news."""
        if not self.is_watched:
            yield
            return
        from rich.console import Console

        with Console(stderr=True).status(doing) as self._status:
            yield
        self._status = None


@contextmanager
def notices(*, quiet: bool = False) -> Iterator[Notices]:
    """While weights may be fetched: what is fetched and under which licence, and how far it is.

    Args:
        quiet: warnings only.
    """
    logger, handler = logging.getLogger("fanfare"), Notices(quiet=quiet)
    level = logger.level
    with ExitStack() as stack:
        if not handler.is_watched:
            from huggingface_hub.utils import disable_progress_bars

            stack.enter_context(disable_progress_bars())
        logger.addHandler(handler)
        stack.callback(logger.removeHandler, handler)
        logger.setLevel(logging.INFO)
        stack.callback(logger.setLevel, level)
        yield handler


def as_lines(facts: dict[str, Any]) -> str:
    """Facts as aligned lines; nested facts are indented."""
    lines = []
    for name, value in facts.items():
        if isinstance(value, dict):
            inner = as_lines(value).replace("\n", "\n  ")
            lines.append(f"{name}\n  {inner}")
        elif value is not None:
            lines.append(f"{name:<25} {value}")
    return "\n".join(lines)


def finite(level: float) -> float | None:
    """A level for JSON, which knows no infinity."""
    return round(level, 2) if math.isfinite(level) else None
