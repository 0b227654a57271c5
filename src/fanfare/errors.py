"""Everything Fanfare raises on purpose.

    FanfareError
    ├── InputError         a request is wrong: names the field, what came, what to do
    │   └── AudioFileError an audio input can't be read
    ├── CheckpointError    weights are missing, damaged or of an unknown kind
    ├── MissingExtraError  an optional dependency isn't installed; carries the command
    ├── BusyError          too many requests wait already; says how many
    └── OutputError        a result can't be written where it was asked for

Anything else that escapes is a fault of Fanfare's own.
"""

from __future__ import annotations


class FanfareError(Exception):
    """Base of all errors that Fanfare raises on purpose; its text is fit for the user."""


class InputError(FanfareError):
    """A request can't be served as it stands.

    Attributes:
        field: the input's name, as in `Inputs`.
        got: what came, shortened for display.
        hint: what to do instead.
    """

    def __init__(self, field: str, got: object, hint: str) -> None:
        self.field = field
        self.got = shorten(got)
        self.hint = hint
        super().__init__(f"{field}: {hint} (got {self.got})")


class AudioFileError(InputError):
    """An audio input can't be opened, decoded, or is too long."""


class CheckpointError(FanfareError):
    """Weights are missing, damaged, or of a kind that isn't known.

    The text may quote what a damaged file says, of any length; it is cut in the middle then.
    """

    def __init__(self, message: str) -> None:
        is_long = len(message) > 1500
        super().__init__(f"{message[:1000]} ... {message[-400:]}" if is_long else message)


class MissingExtraError(FanfareError):
    """An optional dependency isn't installed."""

    def __init__(self, package: str, purpose: str, command: str) -> None:
        self.command = command
        super().__init__(f"{purpose} needs {package}, which isn't installed: {command}")


class BusyError(FanfareError):
    """The queue is full: nothing is wrong with the request, there is no room for it now.

    Attributes:
        n_waiting: how many requests wait.
    """

    def __init__(self, n_waiting: int) -> None:
        self.n_waiting = n_waiting
        are = "request is" if n_waiting == 1 else "requests are"
        super().__init__(f"{n_waiting} {are} waiting already: try again when some are done")


class OutputError(FanfareError):
    """A result can't be written where it was asked for."""


def shorten(value: object, limit: int = 80) -> str:
    """A value's repr for an error message, cut in the middle when it is long."""
    text = repr(value)
    if len(text) <= limit:
        return text
    half = (limit - 3) // 2
    return f"{text[:half]}...{text[-half:]}"
