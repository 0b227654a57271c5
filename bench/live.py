"""A real server in a home of its own, and a client that costs little, for benchmarks of serving."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_S = 60.0
STOP_S = 30.0
LISTENS = re.compile(r"Fanfare listens at (http://[^;]+);")


@dataclass(frozen=True)
class Live:
    """A server that runs."""

    process: subprocess.Popen[str]
    host: str
    port: int
    home: Path
    log: Path

    def resident_bytes(self) -> int:
        """Memory of the process that has the API."""
        return resident_bytes(self.process.pid)

    def worker_pid(self) -> int | None:
        """The process that has the engine."""
        task = Path(f"/proc/{self.process.pid}/task")
        for children in task.glob("*/children"):
            for pid in children.read_text().split():
                if "fanfare.server.worker" in Path(f"/proc/{pid}/cmdline").read_text():
                    return int(pid)
        return None


@contextmanager
def live(*flags: str, home: Path | None = None, env: Mapping[str, str] = {}) -> Iterator[Live]:
    """`fanfare serve` on any free port, ready to play; stopped in the end."""
    with tempfile.TemporaryDirectory(prefix="fanfare-live-") as made:
        home = home or Path(made)
        log = home / "serve.log"
        command = [sys.executable, "-m", "fanfare.cli", "serve", "--port", "0"]
        with log.open("a") as errors:
            process = subprocess.Popen(
                [*command, "--home", str(home), *flags],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, **env},
            )
        try:
            assert process.stdout is not None
            found = LISTENS.search(process.stdout.readline())
            assert found, f"no server: {log.read_text()}"
            host, _, port = found[1].removeprefix("http://").partition(":")
            server = Live(process, host, int(port), home, log)
            asyncio.run(_ready(server))
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()


async def _ready(server: Live) -> None:
    until = time.monotonic() + START_S
    async with Connection(server.host, server.port) as connection:
        while time.monotonic() < until:
            _, body = await connection.ask("GET", "/health-check")
            if body.get("status", "").upper() in {"READY", "BUSY"}:
                return
            await asyncio.sleep(0.05)
    raise TimeoutError("the server has not become ready")


def resident_bytes(pid: int) -> int:
    """Memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0]) * 1024


class Connection:
    """One kept connection that speaks JSON: a library's client would take more than the server."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port

    async def __aenter__(self) -> Connection:
        self._reader, self._writer = await asyncio.open_connection(
            self._host, self._port, limit=2**24
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def ask(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] = {}
    ) -> tuple[int, Any]:
        """Status and body of an answer."""
        content = b"" if body is None else json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}:{self._port}"]
        lines += [f"Content-Length: {len(content)}", "Content-Type: application/json"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self._writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = re.search(r"content-length: (\d+)", head)
        answer = await self._reader.readexactly(int(length[1]) if length else 0)
        return int(head.split()[1]), json.loads(answer) if answer else None
