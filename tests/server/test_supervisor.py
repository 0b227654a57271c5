"""The supervisor: workers that die, hang, never get ready, or are told to stop."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fanfare.server import supervisor as module
from fanfare.server.config import ServeConfig
from fanfare.server.store import Store
from fanfare.server.supervisor import Supervisor
from stores import asked, opened

PLAYS = """
import json, sys
name, config = json.loads(sys.stdin.readline())
print(json.dumps({"ready": True}), flush=True)
print("no hint", flush=True)
print(json.dumps({"figures": {"playing": 1, "tokens": len(config["tokens"])}}), flush=True)
for line in sys.stdin:
    hint = json.loads(line)
    if "wake" in hint:
        print(json.dumps({"changed": name}), flush=True)
    for word in {"load", "unload"} & set(hint):
        print(json.dumps({"models": {hint[word]: {"state": word}}}), flush=True)
    if "stop" in hint:
        break
"""
DIES = "import sys; sys.stdin.readline(); raise SystemExit(3)"
HANGS = "import time; time.sleep(600)"


@contextmanager
def supervised(home: Path, script: str) -> Iterator[tuple[Supervisor, Store]]:
    with opened(home) as store:
        config = ServeConfig(home=home, tokens=("secret",))
        supervisor = Supervisor(config, store, [sys.executable, "-c", script])
        supervisor.start()
        try:
            yield supervisor, store
        finally:
            supervisor.stop(5)


def until(is_so: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_hints_go_both_ways_and_tokens_don_t(tmp_path: Path) -> None:
    changed: list[str] = []
    with supervised(tmp_path, PLAYS) as (supervisor, _):
        supervisor.listen(changed.append)
        until(lambda: supervisor.state() == "busy")
        assert supervisor.figures() == {"playing": 1, "tokens": 0, "up": 1.0, "restarts": 0.0}
        supervisor.wake()
        until(lambda: changed)
        assert supervisor.shelve("small", is_wanted=True)
        until(lambda: supervisor.models() == {"small": {"state": "load"}})
        assert supervisor.shelve("small", is_wanted=False)
        until(lambda: supervisor.models() == {"small": {"state": "unload"}})
        pid = supervisor.pid
        assert pid is not None
    assert changed[0].startswith("worker-")
    assert supervisor.pid is None
    supervisor.wake()  # nobody is there, and nothing happens
    assert not supervisor.shelve("small", is_wanted=True)
    assert supervisor.models() == {}


def test_what_a_dead_worker_had_goes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as store:
        earlier = store.create_prediction(asked())
        store.claim("worker-of-an-earlier-server", 1, 2)
    monkeypatch.setattr(module, "new_id", lambda: "the-worker-x")
    with supervised(tmp_path, PLAYS) as (supervisor, store):
        until(lambda: supervisor.state() == "busy")
        assert [one.id for one in store.claim("worker-the-worker-x", 1, 2)] == [earlier.id]
        assert supervisor.pid is not None
        changed: list[str] = []
        supervisor.listen(changed.append)
        os.kill(supervisor.pid, signal.SIGKILL)
        until(lambda: changed)
        until(lambda: supervisor.state() == "busy" and supervisor.figures()["restarts"] == 1)
        found = store.prediction(earlier.id, None)
    assert changed == [earlier.id]
    assert found is not None
    assert found.status == "failed"  # it was begun twice
    assert "worker stopped" in (found.error or "")


def test_workers_that_never_get_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LONGEST_PAUSE_S", 0.05)
    with supervised(tmp_path, DIES) as (supervisor, _):
        assert supervisor.state() == "starting"
        until(lambda: supervisor.state() == "failed")
        assert supervisor.figures()["restarts"] >= module.HOPELESS


def test_a_worker_that_hangs_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE_S", 0.5)
    monkeypatch.setattr(module, "KILL_AFTER_S", 0.5)
    with supervised(tmp_path, HANGS) as (supervisor, _):
        until(lambda: supervisor.figures()["restarts"] >= 1)
        supervisor.stop(0)
    assert supervisor.pid is None
