"""Supervisor: keeps a worker running, and passes hints between it and the API."""

from __future__ import annotations

import contextlib
import json
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from fanfare.server.config import ServeConfig
from fanfare.server.ids import new_id
from fanfare.server.records import StoreError
from fanfare.server.store import Store

log = logging.getLogger(__name__)

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 30.0
HOPELESS = 5
"""Workers that never got ready, one after the other, before the state is called failed."""
SILENCE_S = 600.0
"""A worker that says nothing for so long hangs: its engine tells figures every few seconds."""
RETRY_S = 0.5
KILL_AFTER_S = 5.0


class Supervisor:
    """Starts the worker, starts it again when it ends, and sees that its work goes on.

    All methods may be called from any thread; none but `start` and `stop` waits for anything.
    """

    def __init__(self, config: ServeConfig, store: Store, command: list[str] | None = None) -> None:
        """`command` stands in for the worker's."""
        self._config, self._store = config, store
        self._command = command or [sys.executable, "-m", "fanfare.server.worker"]
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._heard_s = time.monotonic()
        self._is_ready = False
        self._n_hopeless = 0
        self._n_restarts = 0
        self._figures: dict[str, float] = {}
        self._models: dict[str, dict[str, Any]] = {}
        self._listeners: list[Callable[[str], None]] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def start(self) -> None:
        """Take up what an earlier server left, and start the worker."""
        released = self._surely_release(None)
        if released:
            log.info("%d predictions of an earlier run go on", len(released))
        self._thread.start()

    def stop(self, grace_s: float) -> None:
        """End the worker; what it hasn't finished after the grace waits for the next start."""
        self._stopping.set()
        self._send({"stop": grace_s})
        if self._thread.is_alive():
            self._thread.join(grace_s + KILL_AFTER_S)
        process = self._process
        if process is not None and process.poll() is None:
            process.kill()
            self._thread.join(KILL_AFTER_S)

    def wake(self) -> None:
        """There is something to do."""
        self._send({"wake": True})

    def reload(self) -> None:
        """Play by what the files of weights hold now; what has begun ends as it began."""
        self._send({"reload": True})

    def listen(self, changed: Callable[[str], None]) -> None:
        """Call `changed` with the id of each prediction that the worker has changed."""
        self._listeners.append(changed)

    def state(self) -> str:
        """starting, ready, busy or failed."""
        if self._is_ready:
            return "busy" if self._figures.get("playing") else "ready"
        return "failed" if self._n_hopeless >= HOPELESS else "starting"

    def figures(self) -> Mapping[str, float]:
        """What the worker last said of itself, and how it fares."""
        return {**self._figures, "up": float(self._is_ready), "restarts": float(self._n_restarts)}

    def models(self) -> Mapping[str, Mapping[str, Any]]:
        """Where the worker last said that each model is, by name; see `shelf.Place`."""
        return self._models

    def shelve(self, name: str, *, is_wanted: bool) -> bool:
        """Have a model loaded, or let go; False when there is no worker to do it."""
        return self._is_ready and self._send({"load" if is_wanted else "unload": name})

    @property
    def pid(self) -> int | None:
        """The worker's process; None = there is none now."""
        process = self._process
        return None if process is None or process.poll() is not None else process.pid

    def _run(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stopping.is_set():
            name = f"worker-{new_id()[:12]}"
            began_s = time.monotonic()
            try:
                code = self._lived(name)
            except OSError as error:
                log.error("the worker can't be started: %s", error)
                code = -1
            got_ready, self._is_ready, self._figures = self._is_ready, False, {}
            self._models = {}
            released = self._surely_release(name)
            for id in released:
                self._tell(id)
            if self._stopping.is_set():
                return
            self._n_restarts += 1
            self._n_hopeless = 0 if got_ready else self._n_hopeless + 1
            about = (code, time.monotonic() - began_s, len(released))
            log.warning("the worker ended (%d) after %.0f s; %d predictions were with it", *about)
            pause_s = FIRST_PAUSE_S if got_ready else min(pause_s * 2, LONGEST_PAUSE_S)
            self._stopping.wait(pause_s)

    def _lived(self, name: str) -> int:
        """One worker's life; its exit code."""
        process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        with process:
            with self._lock:
                self._process, self._heard_s = process, time.monotonic()
            about = [name, json.loads(self._config.to_json())]
            self._send(about)
            threading.Thread(target=self._hear, args=(process,), daemon=True).start()
            while True:
                try:
                    return process.wait(1.0)
                except subprocess.TimeoutExpired:
                    if time.monotonic() - self._heard_s > SILENCE_S:
                        log.error("the worker hangs: it has said nothing for %.0f s", SILENCE_S)
                        process.kill()

    def _hear(self, process: subprocess.Popen[bytes]) -> None:
        """Take the worker's hints until it ends."""
        assert process.stdout is not None
        with contextlib.suppress(OSError, ValueError):  # it was closed meanwhile
            for line in process.stdout:
                self._heard_s = time.monotonic()
                self._heed(line)

    def _heed(self, line: bytes) -> None:
        try:
            hint = json.loads(line)
        except ValueError:
            return
        if hint.get("ready"):
            self._is_ready = True
        if "figures" in hint:
            self._figures = hint["figures"]
        if "models" in hint:
            self._models = hint["models"]
        if "changed" in hint:
            self._tell(str(hint["changed"]))

    def _tell(self, id: str) -> None:
        for changed in self._listeners:
            changed(id)

    def _send(self, hint: Any) -> bool:
        """Write a line to the worker; one that is gone misses nothing by it. Whether it took it."""
        with self._lock:
            process = self._process
            if process is None or process.stdin is None or process.stdin.closed:
                return False
            with contextlib.suppress(OSError, ValueError):
                process.stdin.write(json.dumps(hint).encode() + b"\n")
                return True
            return False

    def _surely_release(self, name: str | None) -> list[str]:
        """Put back what a worker had claimed, once the store lets us."""
        while True:
            try:
                return self._store.release_claims(name, self._config.max_tries)
            except StoreError as error:
                log.warning("the store can't be written, trying again: %s", error)
                time.sleep(RETRY_S)
