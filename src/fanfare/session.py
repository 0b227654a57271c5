"""Session: requests that come and go while others are being played (continuous batching)."""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fanfare.chunks import Chunk, ChunkMaker
from fanfare.engine.engine import Engine
from fanfare.engine.job import Frames, Made, Progress
from fanfare.inputs import Inputs
from fanfare.piece import Audio
from fanfare.predict import Finished, chunk_maker, finishing
from fanfare.prepare import Prepared, prepare
from fanfare.settings import Settings
from fanfare.weights.bundle import Bundle

MAX_PIECES = 16


@dataclass(frozen=True)
class Ticket:
    """A request that was taken in.

    Attributes:
        index: by which events name it.
        seed: that is used.
        notices: what is done otherwise than might be expected.
    """

    index: int
    seed: int
    notices: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Ready:
    """A request of which everything is known that playing it takes."""

    prepared: Prepared
    notices: tuple[str, ...]


@dataclass(frozen=True)
class Canceled:
    """Request `index` ended without a piece, as its flag asked for."""

    index: int


@dataclass(frozen=True, eq=False)
class Failed:
    """Request `index` ended without a piece, by a fault of ours; the others go on."""

    index: int
    error: Exception


SessionEvent = Chunk | Finished | Canceled | Failed


@dataclass(eq=False)
class _Seat:
    """A request that waits or is played.

    Attributes:
        n_steps: of the language model that it takes.
        finish: what makes a piece of its codes, once there are any.
        n_diffused: steps of diffusion so far.
        listened: whether chunks are made of its frames by now; None = from the first on.
        unheard: frames [K, n] of which none was made yet.
    """

    prepared: Prepared
    maker: ChunkMaker
    n_steps: int
    listened: threading.Event | None = None
    unheard: list[Tensor] = field(default_factory=list)
    finish: Generator[Audio | None, None, None] | None = None
    n_diffused: int = 0


class Session:
    """Plays requests of one model; each piece is what it would be alone.

    It belongs to one thread; only `ready` and the flags of requests are for others, too. At most
    `max_pieces` are played at once, the others wait.
    """

    def __init__(
        self, bundle: Bundle, engine: Engine, settings: Settings, max_pieces: int = MAX_PIECES
    ) -> None:
        assert max_pieces > 0, max_pieces
        self._bundle, self._engine, self._settings = bundle, engine, settings
        self._loop = engine.open_loop(2 * max_pieces)
        self._seats: dict[int, _Seat] = {}

    @property
    def is_busy(self) -> bool:
        """Whether any request waits or is played."""
        return bool(self._seats)

    @property
    def n_steps(self) -> int:
        """Steps of the language model so far, each of all pieces that were played then."""
        return self._loop.n_steps

    @property
    def n_playing(self) -> int:
        """Requests in the running batch."""
        return len(self._loop.scheduler.running)

    def submit(
        self,
        request: Inputs,
        *,
        chunk_s: float | None = None,
        cancelled: threading.Event | None = None,
        listened: threading.Event | None = None,
    ) -> Ticket:
        """Take a request in; with `chunk_s` it is heard while it is made, in `Chunk` events.

        With `listened`, there are none before this flag is set, and then all from the beginning:
        decoding for nobody would cost time.
        Raises InputError where it asks for what the model can't do; nothing is begun then.
        """
        return self.enter(self.ready(request, chunk_s=chunk_s, cancelled=cancelled), listened)

    def ready(
        self,
        request: Inputs,
        *,
        chunk_s: float | None = None,
        cancelled: threading.Event | None = None,
    ) -> Ready:
        """The first half of `submit`, for any thread: a long recording takes seconds."""
        flags = None if cancelled is None else [cancelled]
        (prepared,), notices = prepare(self._bundle, [request], self._settings, flags, chunk_s)
        return Ready(prepared, notices)

    def enter(self, ready: Ready, listened: threading.Event | None = None) -> Ticket:
        """The second half of `submit`."""
        prepared = ready.prepared
        index = self._loop.submit(prepared.job)
        maker = chunk_maker(self._bundle, index, prepared)
        n_steps = self._loop.progress(index).n_steps
        self._seats[index] = _Seat(prepared, maker, n_steps, listened=listened)
        return Ticket(index, prepared.seed, ready.notices)

    def progress(self, index: int) -> Progress:
        """How far a request has come that waits or is played; steps of diffusion included."""
        seat = self._seats[index]
        n_all = seat.n_steps + seat.prepared.n_diffusion_steps
        if seat.finish is None:
            return Progress(self._loop.progress(index).step, n_all)
        return Progress(seat.n_steps + seat.n_diffused, n_all)

    def tick(self) -> list[SessionEvent]:
        """One step of all that are played; what came of it, by `index`."""
        events: list[SessionEvent] = []
        with self._engine.threads():
            made = self._loop.tick()
        for event in made:
            try:
                events += self._taken(event)
            except Exception as error:  # one piece's fault is no reason to end the others
                events.append(self._failed(event.index, error))
        for index in [i for i, seat in self._seats.items() if seat.finish is not None]:
            try:
                events += self._finished(index)
            except Exception as error:
                events.append(self._failed(index, error))
        return events

    def close(self) -> None:
        """Forget all requests, and give their memory back."""
        self._loop.close()
        self._seats.clear()

    def _taken(self, event: Frames | Made) -> list[SessionEvent]:
        """What the engine made, as events."""
        seat = self._seats.get(event.index)
        if seat is None:  # it has failed
            return []
        if isinstance(event, Frames):
            return self._heard(seat, event.codes)
        if event.codes is None:
            del self._seats[event.index]
            return [Canceled(event.index)]
        seat.finish = finishing(self._bundle, seat.prepared, event.codes)
        return []

    def _heard(self, seat: _Seat, codes: Tensor) -> list[SessionEvent]:
        """The next frames [K, n], and those before that nobody has heard yet, as a chunk."""
        seat.unheard.append(codes)
        if seat.listened is not None and not seat.listened.is_set():
            return []
        codes, seat.unheard = torch.cat(seat.unheard, dim=1), []
        chunk = seat.maker.take(codes)
        return [] if chunk is None else [chunk]

    def _finished(self, index: int) -> list[SessionEvent]:
        """One step on the way from codes to a piece."""
        seat = self._seats[index]
        assert seat.finish is not None, index
        for audio in seat.finish:
            if audio is None:
                seat.n_diffused += 1
                return []
            del self._seats[index]
            return [Finished(index, audio)]
        del self._seats[index]
        return [Canceled(index)]

    def _failed(self, index: int, error: Exception) -> Failed:
        seat = self._seats.pop(index)
        seat.prepared.job.cancelled.set()  # whatever the engine still does for it
        return Failed(index, error)
