"""What the store keeps, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from fanfare.errors import BusyError, FanfareError

Status = Literal["starting", "processing", "succeeded", "failed", "canceled"]
Event = Literal["start", "output", "logs", "completed"]

WAITING: Status = "starting"
RUNNING: Status = "processing"
FINAL: tuple[Status, ...] = ("succeeded", "failed", "canceled")
EVENTS: tuple[Event, ...] = ("start", "output", "logs", "completed")

R = TypeVar("R")


class StoreError(FanfareError):
    """The store can't be used now: locked for too long, its disk full, its file damaged."""


class QueueFullError(BusyError):
    """As many predictions wait as may wait; `n_waiting` says how many."""


@dataclass(frozen=True)
class NewPrediction:
    """What a prediction is made of.

    Attributes:
        owner: whose it is; "" on a server without tokens.
        model: as the client called it, such as `fofr/musicgen-epic`.
        version: the full id, 64 hexadecimal digits.
        weights: the name of the model that really serves it.
        input: checked; audio as the id of a file or a URL, never as bytes.
        max_waiting: how many may wait, this one not counted.
        cancel_after_s: it is cancelled when it isn't done by then; None = never.
    """

    owner: str
    model: str
    version: str
    weights: str
    input: Mapping[str, Any]
    max_waiting: int
    webhook: str | None = None
    webhook_events: tuple[Event, ...] = EVENTS
    source: str = "api"
    seed: int | None = None
    cancel_after_s: float | None = None


@dataclass(frozen=True)
class Prediction:
    """One prediction as it is now; times are UTC and aware.

    Attributes:
        id: 26 characters of a to z and 0 to 9.
        output_file: the id of the finished file.
        stream_token: what its stream is reached by, without any other credential.
        progress: (steps done, steps in all); (0, 0) before the first.
        seed: what it is made with, once it is known: a second try makes the same music.
        tries: how often it was claimed.
        deadline: when it is cancelled if it isn't done; None = never.
        metrics: `predict_time` and `total_time` in seconds, and what else the worker measured.
        data_removed: its time is over: input, output and logs are gone.
    """

    id: str
    owner: str
    model: str
    version: str
    weights: str
    input: dict[str, Any]
    status: Status
    output_file: str | None
    stream_token: str
    logs: str
    error: str | None
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    progress: tuple[int, int]
    seed: int | None
    tries: int
    deadline: datetime | None
    webhook: str | None
    webhook_events: tuple[Event, ...]
    source: str
    metrics: dict[str, Any] = field(default_factory=dict)
    data_removed: bool = False

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.status in FINAL


@dataclass(frozen=True)
class NewFile:
    """A file that lies on the disk, whole, and is to be known.

    Attributes:
        id: unguessable; also its name on the disk.
        name: the client's; shown, never used as a path.
        purpose: `upload` or `output`.
        prediction: whose output it is.
        metadata: the client's own.
        expires_at: when it goes; None = when its prediction does, or never.
    """

    id: str
    owner: str
    name: str
    content_type: str
    size: int
    sha256: str
    md5: str
    purpose: Literal["upload", "output"] = "upload"
    prediction: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    expires_at: datetime | None = None


@dataclass(frozen=True)
class File(NewFile):
    """A file that is known.

    Attributes:
        capability: what an output's URL holds: knowing it is being allowed.
    """

    capability: str = ""
    created_at: datetime = datetime.min


@dataclass(frozen=True)
class Page(Generic[R]):
    """Part of a list, newest first.

    Attributes:
        older: what `before` takes to go on; None = this is the last page.
        newer: what `after` takes to go back; None = this is the first page.
    """

    results: tuple[R, ...]
    older: str | None = None
    newer: str | None = None


@dataclass(frozen=True)
class Delivery:
    """One webhook that is to be sent.

    Attributes:
        id: the message's, the same at every try.
        prediction: as its event has it; a late `start` still shows a prediction that has started.
        tries: how often it was tried.
    """

    id: str
    event: Event
    url: str
    prediction: Prediction
    tries: int
    due_at: datetime
