"""`fanfare serve` as a process: started, killed, stopped."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

DEADLINE_S = 120.0
VERSION = "3c7800f6"


class Serving:
    """A server in a process of its own."""

    def __init__(self, home: Path, *flags: str) -> None:
        self.log = (home.parent / f"{home.name}.log").open("ab")
        command = [sys.executable, "-m", "fanfare.cli", "serve", "--port", "0", "--home", str(home)]
        self.process = subprocess.Popen(
            [*command, *flags], stdout=subprocess.PIPE, stderr=self.log, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        found = re.search(r"http://[\w.:]+", line)
        assert found is not None, line
        self.url = found[0]
        self.http = httpx2.Client(base_url=self.url, timeout=30)

    def create(self, seed: int, duration: int = 4) -> str:
        given = {"prompt": "epic brass", "duration": duration, "seed": seed}
        answer = self.http.post("/v1/predictions", json={"version": VERSION, "input": given})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def get(self, id: str) -> dict[str, Any]:
        made = self.http.get(f"/v1/predictions/{id}").json()
        assert isinstance(made, dict)
        return made

    def until(self, id: str, *statuses: str) -> dict[str, Any]:
        end = time.monotonic() + DEADLINE_S
        while (made := self.get(id))["status"] not in statuses:
            assert time.monotonic() < end, made
            time.sleep(0.05)
        return made

    def music(self, ids: list[str]) -> list[str]:
        """What each has become, as a digest."""
        made = [self.until(id, "succeeded", "failed", "canceled") for id in ids]
        assert [one["error"] for one in made] == [None] * len(ids)
        return [hashlib.sha256(one["output"].encode()).hexdigest() for one in made]

    def worker(self) -> int:
        """Its worker's process."""
        end = time.monotonic() + DEADLINE_S
        while time.monotonic() < end:
            for stat in Path("/proc").glob("[0-9]*/stat"):
                try:
                    parent = int(stat.read_text().rpartition(")")[2].split()[1])
                    command = (stat.parent / "cmdline").read_text()
                except OSError:
                    continue
                if parent == self.process.pid and "fanfare.server.worker" in command:
                    return int(stat.parent.name)
            time.sleep(0.05)
        raise AssertionError("there is no worker")

    def close(self) -> None:
        self.http.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.log.close()


@contextmanager
def served(home: Path, *flags: str) -> Iterator[Serving]:
    server = Serving(home, *flags)
    try:
        yield server
    finally:
        server.close()


def gone(pid: int) -> bool:
    """Whether a process ends, soon."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            os.kill(pid, 0)
            if " Z " in Path(f"/proc/{pid}/stat").read_text():
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.05)
    return False


def test_killed_workers_and_servers_lose_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with served(home) as server:
        before = server.music([server.create(seed) for seed in range(3)])
        long = server.create(9, duration=20)
        server.until(long, "processing")
        ids = [server.create(seed) for seed in range(3)]
        os.kill(server.worker(), signal.SIGKILL)
        assert server.music(ids) == before
        assert server.until(long, "succeeded", "failed")["status"] == "succeeded"
        assert len(re.findall("Using seed: 9\n", server.get(long)["logs"])) == 2

        ids = [server.create(seed) for seed in range(3)]
        server.until(ids[0], "processing", "succeeded")
        worker = server.worker()
        server.process.kill()
        server.process.wait()
        assert gone(worker)
    with served(home) as server:
        assert server.music(ids) == before
        last = server.create(5, duration=60)
        server.until(last, "processing")
        worker = server.worker()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
        assert gone(worker)
    with served(home) as server:
        assert server.until(last, "succeeded", "failed")["status"] == "succeeded"


def test_a_home_has_one_server_at_a_time(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with served(home):
        command = [sys.executable, "-m", "fanfare.cli", "serve", "--port", "0", "--home", str(home)]
        second = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    assert "another server uses" in second.stderr


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--host", "0.0.0.0"], "--open"),
        (["--host", "0.0.0.0", "--cog"], "no tokens"),
        (["--host", "192.0.2.1", "--open"], "can't be used"),
        (["--token-file", "missing"], "can't be read"),
        (["--public-url", "music.me"], "https://"),
    ],
)
def test_what_is_refused(tmp_path: Path, flags: list[str], complaint: str) -> None:
    command = [sys.executable, "-m", "fanfare.cli", "serve", "--home", str(tmp_path / "home")]
    made = subprocess.run(
        [*command, "--port", "0", *flags], capture_output=True, text=True, timeout=60
    )
    assert made.returncode == 2
    assert complaint in made.stderr
    assert "Traceback" not in made.stderr
