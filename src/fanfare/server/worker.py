"""The worker: `python -m fanfare.server.worker`, the process that owns the engine.

Its standard input gives the server's configuration as one line, then hints; when it ends, the
server is gone, and the worker goes too. Its standard output gives hints back:

    in    {"wake": true}    there may be something new        {"stop": 20.0}   end within seconds
          {"reload": true}  play by what the files hold now
          {"load": "<name>"}, {"unload": "<name>"}  a model, into memory or out of it
    out   {"ready": true}   the first model is loaded         {"changed": "<prediction>"}
          {"figures": {…}}  how it is doing
          {"models": {…}}   where each model is, when that has changed; see shelf.py
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TextIO

from fanfare.model import Model, load
from fanfare.server.clerk import Came, Clerk, Unprepared
from fanfare.server.config import ServeConfig
from fanfare.server.files import Files
from fanfare.server.growing import Growing
from fanfare.server.intake import Intake, Jobs
from fanfare.server.logs import configure
from fanfare.server.memory import give_back, resident_bytes
from fanfare.server.playing import Part, Played, Players
from fanfare.server.shelf import Shelf
from fanfare.server.store import Store
from fanfare.session import MAX_PIECES

log = logging.getLogger(__name__)

AHEAD = 4
"""Claimed beyond the seats, so that none stays empty while results are written."""
REST_S = 0.5
LOADING_POLL_S = 0.02
TELL_S = 0.5
FIGURES_S = 2.0
NICE = 5
"""Where cores are few, who asks how far a piece has come isn't to wait for the piece."""
LEAVE_S = 3.0
"""Given to what is being written when there is no server any more."""

Tell = Callable[[dict[str, Any]], None]


@dataclass
class _Pace:
    """What was done since figures were last told."""

    at_s: float
    n_steps: int = 0
    n_rows: int = 0
    audio_s: float = 0.0


class Worker:
    """Claims, plays and writes, on threads of their own, until it is told to stop."""

    def __init__(
        self,
        name: str,
        config: ServeConfig,
        store: Store,
        files: Files,
        tell: Tell,
        load_model: Callable[[str], Model] | None = None,
    ) -> None:
        """`load_model` gets a model by name; by default as the configuration says."""
        self._name, self._config, self._store, self._tell = name, config, store, tell
        self._jobs = Jobs()
        self._awake = threading.Event()
        self._arrived: queue.SimpleQueue[Part] = queue.SimpleQueue()
        self._stop_by_s: float | None = None
        self._reloads = False
        self._shelf = Shelf(config.models)
        self._shelved: queue.SimpleQueue[tuple[str, bool]] = queue.SimpleQueue()
        self._told_models: dict[str, Any] = {}
        self._is_ready = False
        self._told_s = 0.0
        self._pace = _Pace(time.monotonic())
        self._lock = threading.Lock()
        self._is_gone = False
        self._players = Players(
            load_model or self._load,
            budget_bytes=config.memory_budget_bytes,
        )
        self._clerk = Clerk(name, config, store, files, self._jobs, self._changed)
        self._intake = Intake(
            name,
            config,
            store,
            files,
            self._jobs,
            max_jobs=MAX_PIECES + AHEAD,
            arrived=self._take,
            refused=lambda prediction, reason: self._clerk.take(Unprepared(prediction, reason)),
        )

    def wake(self) -> None:
        """There may be something new. From any thread, as all below but `run`."""
        self._intake.wake()

    def stop(self, grace_s: float) -> None:
        """Take nothing more on; what isn't done after the grace goes back into the queue."""
        if self._stop_by_s is None or grace_s == 0:
            self._stop_by_s = time.monotonic() + grace_s
        self._awake.set()

    def reload(self) -> None:
        """Load the models anew for whatever comes from now on."""
        self._reloads = True
        self._awake.set()

    def shelve(self, name: str, *, is_wanted: bool) -> None:
        """Load a model, or let it go; names that the server wasn't started with are no models."""
        if name in self._config.models:
            self._shelved.put((name, is_wanted))
            self._awake.set()

    def leave(self) -> None:
        """There is no server any more: hand everything back, at once."""
        self.stop(0)
        self._hand_back(LEAVE_S / 2)

    def run(self) -> None:
        """Play until stopped; what goes wrong in the engine itself is raised."""
        _tidy(self._store, self._config)
        self._players.preload(self._config.models[0])
        self._clerk.start()
        try:
            # What is claimed and lost counts as tried: nothing is before it can be played.
            while self._players.is_loading and self._stop_by_s is None:
                self._once()
            self._intake.start()
            while not self._is_over():
                self._once()
        finally:
            self._intake.close()
            self._hand_back(LEAVE_S)
            self._players.close()

    def _once(self) -> None:
        if self._reloads:
            self._reloads = False
            self._players.reload()
        while not self._shelved.empty():
            name, is_wanted = self._shelved.get()
            (self._players.preload if is_wanted else self._players.unload)(name)
        while not self._arrived.empty():
            self._players.submit(self._arrived.get())
        for event in self._players.tick():
            self._clerk.take(event)
            if not isinstance(event, Played):
                continue
            self._intake.wake()  # there is a seat
        self._report()
        if not self._players.is_busy:
            is_waiting = self._players.is_loading or self._players.n_parts > 0
            self._awake.wait(LOADING_POLL_S if is_waiting else REST_S)
            self._awake.clear()

    def _is_over(self) -> bool:
        if self._stop_by_s is None:
            return False
        self._intake.close()
        self._players.is_held = True
        return self._players.n_playing == 0 or time.monotonic() >= self._stop_by_s

    def _take(self, part: Part) -> None:
        self._arrived.put(part)
        self._awake.set()

    def _changed(self, id: str) -> None:
        self._tell({"changed": id})

    def _report(self) -> None:
        """Tell the clerk how far everyone is, and the server how we are, now and then."""
        now = time.monotonic()
        if not self._is_ready and self._players.loaded:
            self._is_ready = True
            self._tell({"ready": True})
            self._shelf.start()
        if now - self._told_s < TELL_S:
            return
        self._told_s = now
        models = self._shelf.told(self._players.places())
        if models != self._told_models:
            self._told_models = models
            self._tell({"models": models})
        progress = self._players.progress()
        if progress:
            self._clerk.take(Came(progress))
        if now - self._pace.at_s >= FIGURES_S:
            self._tell({"figures": self._figures(now)})

    def _figures(self, now: float) -> dict[str, float]:
        before, players = self._pace, self._players
        self._pace = _Pace(now, players.n_steps, players.n_rows, self._clerk.audio_s)
        elapsed_s = now - before.at_s
        n_steps = players.n_steps - before.n_steps
        n_rows = players.n_rows - before.n_rows
        return {
            "playing": players.n_playing,
            "claimed": len(self._jobs),
            "steps_per_s": n_steps / elapsed_s,
            "batch_fill": n_rows / n_steps / MAX_PIECES if n_steps else 0.0,
            "real_time_factor": (self._clerk.audio_s - before.audio_s) / elapsed_s,
            "audio_seconds": self._clerk.audio_s,
            "steps": players.n_steps,
            "memory_bytes": resident_bytes(),
            "models_loaded": len(players.loaded),
            "model_bytes": sum(players.loaded.values()),
        }

    def _load(self, name: str) -> Model:
        config = self._config
        model = load(name, device=config.device, engine=config.engine, dtype=config.dtype)
        limits = {
            "max_duration_s": config.max_duration_s,
            "max_audio_s": config.max_audio_s,
            "max_audio_bytes": config.max_upload_bytes,
        }
        give_back()
        return replace(model, settings=model.settings.model_copy(update=limits))

    def _hand_back(self, timeout_s: float) -> None:
        """Once: write what is made, then put the rest back into the queue."""
        with self._lock:
            if self._is_gone:
                return
            self._is_gone = True
            self._clerk.close(timeout_s)
            ids = [job.prediction.id for job in self._jobs.all()]
            if ids:
                self._store.hand_back(ids, by=self._name)


def _tidy(store: Store, config: ServeConfig) -> None:
    """Remove growing files that nobody writes any more."""
    growing = Growing(config.home)
    for id in growing.all():
        prediction = store.prediction(id, None)
        if prediction is None or prediction.is_final:
            growing.remove(id)


def _obey(worker: Worker, lines: TextIO) -> None:
    """Take hints until there is nobody to give them; then leave, at the latest after a while."""
    for line in lines:
        hint = _parsed(line)
        if "stop" in hint:
            worker.stop(float(hint["stop"]))
        if hint.get("reload"):
            worker.reload()
        for word in {"load", "unload"} & hint.keys():
            worker.shelve(str(hint[word]), is_wanted=word == "load")
        if hint.get("wake"):
            worker.wake()
    # The engine may be amid something long; nothing of ours outlives the server all the same.
    threading.Timer(LEAVE_S, os._exit, [1]).start()
    worker.leave()


def _parsed(line: str) -> dict[str, Any]:
    try:
        made = json.loads(line)
    except ValueError:
        return {}
    return made if isinstance(made, dict) else {}


def _teller(out: TextIO) -> Tell:
    """Writes hints; when nobody reads them any more, they are dropped."""
    lock = threading.Lock()

    def tell(hint: dict[str, Any]) -> None:
        with lock:
            try:
                out.write(json.dumps(hint) + "\n")
                out.flush()
            except (OSError, ValueError):
                return

    return tell


def main() -> None:
    """Run as the server's child."""
    # Hints alone go to what was standard output: whatever a library prints goes to the log.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    configure()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to answer
    if hasattr(os, "nice"):
        os.nice(NICE)
    name, config = json.loads(sys.stdin.readline())
    config = ServeConfig.from_json(json.dumps(config))
    store = Store(config.home)
    files = Files(config.home, store, max_storage_bytes=config.max_storage_bytes)
    worker = Worker(name, config, store, files, _teller(out))
    signal.signal(signal.SIGTERM, lambda *_: worker.stop(0))
    threading.Thread(target=_obey, args=(worker, sys.stdin), name="hints", daemon=True).start()
    worker.run()
    store.close()


if __name__ == "__main__":
    main()
