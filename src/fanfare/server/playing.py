"""Playing: several models by name, each with its own session, within a budget of memory.

What isn't in memory is loaded while the others play on; where there is no room, whoever was idle
longest goes first.
"""

from __future__ import annotations

import gc
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from fanfare.chunks import CHUNK_S, Chunk
from fanfare.errors import FanfareError, InputError
from fanfare.inputs import Inputs
from fanfare.model import Model
from fanfare.piece import Audio
from fanfare.predict import Finished, Progress
from fanfare.server.memory import give_back, memory_in_use, size_on_disk
from fanfare.server.shelf import Place, place_in_memory
from fanfare.session import MAX_PIECES, Canceled, Failed, Ready, Session

log = logging.getLogger(__name__)

PATIENCE_S = 20.0
"""So long may others pass a request whose model finds no room, before they wait for it."""


@dataclass(eq=False)
class Part:
    """A request on its way.

    Attributes:
        id: of its prediction.
        weights: name of the model that plays it.
        inputs: with the seed that is used.
        cancelled: set = nobody wants it any more.
        listened: set = somebody hears it while it is made.
        came_s: when, by the steady clock.
        n_steps: that it takes, once it is played.
    """

    id: str
    weights: str
    inputs: Inputs
    cancelled: threading.Event = field(default_factory=threading.Event)
    listened: threading.Event = field(default_factory=threading.Event)
    came_s: float = field(default_factory=time.monotonic)
    n_steps: int = 0


@dataclass(frozen=True)
class Began:
    """A part is understood, and is played from now on."""

    part: Part
    notices: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Heard:
    """The next stretch of a part that somebody listens to."""

    part: Part
    chunk: Chunk


@dataclass(frozen=True, eq=False)
class Played:
    """A part is done."""

    part: Part
    audio: Audio


@dataclass(frozen=True)
class Stopped:
    """A part was cancelled."""

    part: Part


@dataclass(frozen=True)
class Refused:
    """A part can't be played; `reason` is fit for whoever asked."""

    part: Part
    reason: str


PlayEvent = Began | Heard | Played | Stopped | Refused


@dataclass(eq=False)
class _Player:
    """A model in memory.

    Attributes:
        parts: that are played or wait for a row, by the session's index.
        readied: that have a seat, and whose recordings are being looked at.
        n_bytes: that it takes.
        used_s: when it last played.
        is_leaving: it takes nothing more, and goes when it is done.
    """

    model: Model
    session: Session
    n_bytes: int
    used_s: float
    parts: dict[int, Part] = field(default_factory=dict)
    readied: dict[Part, Future[Ready]] = field(default_factory=dict)
    is_leaving: bool = False

    @property
    def n_seated(self) -> int:
        """Parts that it has promised to play."""
        return len(self.parts) + len(self.readied)


class Players:
    """Plays parts as they come, by whatever models they name. It belongs to one thread."""

    def __init__(
        self,
        load: Callable[[str], Model],
        *,
        max_pieces: int = MAX_PIECES,
        budget_bytes: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`load` gets a model by name; at most `max_pieces` parts of each are played at once."""
        self._load, self._max_pieces = load, max_pieces
        self._budget_bytes, self._clock = budget_bytes, clock
        self._players: dict[str, _Player] = {}
        self._leaving: list[_Player] = []
        self._waiting: list[Part] = []
        self._loading: tuple[str, Future[tuple[Model, int]]] | None = None
        self._asked: list[str] = []  # to be loaded when there is room
        self._failed: dict[str, str] = {}  # to load, and why
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="loader")
        self._listener = ThreadPoolExecutor(1, thread_name_prefix="listener")
        self.is_held = False  # nobody new is let in
        self.n_steps = 0  # so far, each of all parts that were played then
        self.n_rows = 0  # parts, summed over all steps

    @property
    def is_busy(self) -> bool:
        """Whether there is anything to do at once."""
        return any(player.parts for player in self._all())

    @property
    def is_loading(self) -> bool:
        """Whether a model is on its way."""
        return self._loading is not None

    @property
    def loaded(self) -> dict[str, int]:
        """The models in memory, and their bytes."""
        return {name: player.n_bytes for name, player in self._players.items()}

    @property
    def n_parts(self) -> int:
        """Parts that wait or are played."""
        return len(self._waiting) + sum(player.n_seated for player in self._all())

    @property
    def n_playing(self) -> int:
        """Parts that are played."""
        return sum(len(player.parts) for player in self._all())

    def submit(self, part: Part) -> None:
        """Take a part in."""
        self._waiting.append(part)

    def progress(self) -> dict[str, Progress]:
        """How far each part has come that is played, by its id."""
        return {
            part.id: player.session.progress(index)
            for player in self._all()
            for index, part in player.parts.items()
        }

    def tick(self) -> list[PlayEvent]:
        """Load and admit what can be, then one step of all who are played."""
        events = self._loaded() + self._admitted() + self._entered()
        self._want_asked()
        for player in self._all():
            if player.parts:
                events += self._stepped(player)
        for player in [p for p in self._leaving if not p.n_seated]:
            self._leaving.remove(player)
            _close(player)
        return events

    def preload(self, name: str) -> None:
        """Load a model before anybody asks for it, as soon as there is room."""
        if name not in (*self._players, *self._asked):
            self._failed.pop(name, None)
            self._asked.append(name)
            self._want_asked()

    def unload(self, name: str) -> None:
        """Let a model go, once it has played what it has begun; who asks for it loads it again."""
        self._failed.pop(name, None)
        if name in self._asked and not self._is_loading(name):
            self._asked.remove(name)
        if name in self._players:
            self._leave(name)

    def places(self) -> dict[str, Place]:
        """The models that are in memory, on their way there, or could not be had."""
        found = {name: Place("failed", error=why) for name, why in self._failed.items()}
        found |= {name: Place("loading") for name in self._asked}
        if self._loading is not None:
            found[self._loading[0]] = Place("loading")
        for name, player in self._players.items():
            found[name] = place_in_memory(player.model, player.n_bytes, len(player.parts))
        return found

    def reload(self) -> None:
        """From now on play by what the files hold; what has begun ends as it began."""
        names = list(self._players)
        for name in names:
            self._leave(name)
        if names:
            self.preload(names[0])

    def close(self) -> None:
        """Forget everything."""
        self._loader.shutdown(wait=False, cancel_futures=True)
        self._listener.shutdown(wait=False, cancel_futures=True)
        for name in list(self._players):
            self._leave(name)
        for player in self._leaving:
            _close(player)
        self._leaving.clear()
        self._waiting.clear()

    def _all(self) -> list[_Player]:
        return [*self._players.values(), *self._leaving]

    def _loaded(self) -> list[PlayEvent]:
        """Take in the model that was being loaded, if it is."""
        if self._loading is None or not self._loading[1].done():
            return []
        name, future = self._loading
        self._loading = None
        self._asked = [asked for asked in self._asked if asked != name]
        try:
            model, n_bytes = future.result()
            session = model.session(self._max_pieces)
        except Exception as error:
            log.exception("the model %s can't be loaded", name)
            reason = "The model's weights can't be loaded; the server's log says why."
            if isinstance(error, MemoryError):
                reason = "There is too little memory for the model."
            self._failed[name] = reason
            return [Refused(part, reason) for part in self._taken(name)]
        self._players[name] = _Player(model, session, n_bytes, self._clock())
        log.info("the model %s is loaded: %.0f MB", name, n_bytes / 1e6)
        self._make_room(0, keep=name)
        return []

    def _taken(self, name: str) -> list[Part]:
        """All who wait for a model; they don't any more."""
        taken = [part for part in self._waiting if part.weights == name]
        self._waiting = [part for part in self._waiting if part.weights != name]
        return taken

    def _admitted(self) -> list[PlayEvent]:
        """Let in whoever finds a seat, in their order."""
        events: list[PlayEvent] = []
        still: list[Part] = []
        is_held = self.is_held
        for part in self._waiting:
            player = self._players.get(part.weights)
            if part.cancelled.is_set():
                events.append(Stopped(part))
            elif is_held:
                still.append(part)
            elif player is None:
                still.append(part)
                self._want(part.weights)
                is_late = self._clock() - part.came_s > PATIENCE_S
                is_held = is_late and not self._is_loading(part.weights)
            elif player.n_seated >= self._max_pieces:
                still.append(part)
            elif part.inputs.input_audio is not None:
                # Recordings are looked at elsewhere: a long one takes seconds.
                player.readied[part] = self._listener.submit(_ready, player.session, part)
            else:
                events.append(self._begun(player, part))
        self._waiting = still
        return events

    def _entered(self) -> list[PlayEvent]:
        """Begin what has been made ready."""
        events: list[PlayEvent] = []
        for player in [] if self.is_held else self._all():
            for part in [part for part, ready in player.readied.items() if ready.done()]:
                events.append(self._begun(player, part, player.readied.pop(part)))
        return events

    def _begun(self, player: _Player, part: Part, ready: Future[Ready] | None = None) -> PlayEvent:
        """Play a part from now on."""
        if part.cancelled.is_set():
            return Stopped(part)
        try:
            made = _ready(player.session, part) if ready is None else ready.result()
            ticket = player.session.enter(made, part.listened)
        except Exception as error:
            return Refused(part, _reason(part, error))
        player.parts[ticket.index] = part
        part.n_steps = player.session.progress(ticket.index).n_steps
        player.used_s = self._clock()
        return Began(part, ticket.notices)

    def _stepped(self, player: _Player) -> list[PlayEvent]:
        """One step of a model's parts."""
        before, n_playing = player.session.n_steps, player.session.n_playing
        made = player.session.tick()
        n_new = player.session.n_steps - before
        self.n_steps += n_new
        self.n_rows += n_new * max(n_playing, player.session.n_playing)
        events: list[PlayEvent] = []
        for event in made:
            if isinstance(event, Chunk):
                events.append(Heard(player.parts[event.index], event))
                continue
            part = player.parts.pop(event.index)
            player.used_s = self._clock()
            if isinstance(event, Finished):
                events.append(Played(part, event.audio))
            elif isinstance(event, Canceled):
                events.append(Stopped(part))
            elif isinstance(event, Failed):
                events.append(Refused(part, _reason(part, event.error)))
        return events

    def _want(self, name: str) -> None:
        """Begin to load a model if it may be, and nothing else is being loaded."""
        if self._loading is not None:
            return
        n_bytes = size_on_disk(name) if self._budget_bytes is not None else 0
        # One that is larger than the budget is played all the same, but alone.
        if self._make_room(n_bytes, keep=name) or not self._all():
            self._begin_loading(name)

    def _want_asked(self) -> None:
        """Go on with what was asked for without a piece to play."""
        for name in self._asked[:1]:
            self._want(name)

    def _is_loading(self, name: str) -> bool:
        return self._loading is not None and self._loading[0] == name

    def _begin_loading(self, name: str) -> None:
        self._failed.pop(name, None)
        self._loading = (name, self._loader.submit(self._measured, name))

    def _measured(self, name: str) -> tuple[Model, int]:
        """A model, and by how much loading it has made the process grow."""
        before = memory_in_use()
        model = self._load(name)
        give_back()
        return model, max(0, memory_in_use() - before)

    def _make_room(self, n_bytes: int, *, keep: str) -> bool:
        """Let idle models go, the one idle longest first; whether there is room in the end."""
        if self._budget_bytes is None:
            return True
        while True:
            used = sum(player.n_bytes for player in self._all())
            if used + n_bytes <= self._budget_bytes:
                return True
            idle = [n for n, player in self._players.items() if not player.n_seated and n != keep]
            if not idle:
                return False
            oldest = min(idle, key=lambda n: self._players[n].used_s)
            log.info("the model %s makes room", oldest)
            _close(self._players.pop(oldest))

    def _leave(self, name: str) -> None:
        player = self._players.pop(name)
        player.is_leaving = True
        self._leaving.append(player)


def _ready(session: Session, part: Part) -> Ready:
    # Diffusion can only begin when all is known, so that there is nothing to hear before.
    chunk_s = None if part.inputs.multi_band_diffusion else CHUNK_S
    return session.ready(part.inputs, chunk_s=chunk_s, cancelled=part.cancelled)


def _close(player: _Player) -> None:
    """Let a model go, and its memory with it."""
    player.session.close()
    # Whoever else holds the player holds nothing of weight.
    del player.session, player.model
    gc.collect()
    give_back()


def _reason(part: Part, error: Exception) -> str:
    """Why a part failed, without anything of this machine in it."""
    if isinstance(error, InputError):
        return f"{error.field}: {error.hint}"
    log.error("prediction %s failed", part.id, exc_info=error)
    if isinstance(error, MemoryError):
        return "There is too little memory for this: ask for less at once, or for a shorter piece."
    if isinstance(error, FanfareError):
        return str(error)
    return "Something went wrong inside the server; its log says what."
