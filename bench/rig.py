"""A server that may be killed, receivers that may be away, and an eye on all that clients see."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2

START_S = 300.0
SETTLE_S = 600.0
POLL_S = 0.05
LISTENS = re.compile(r"Fanfare listens at (http://[^;]+);")
FINAL = ("succeeded", "failed", "canceled")
LATER = (429, 503, 507)
"""What a server may answer that can't take a request now."""


class Server:
    """`fanfare serve` in a home of its own; after its death the next start takes up the same."""

    def __init__(self, home: Path, log: Path, env: Mapping[str, str] = {}) -> None:
        self.home, self._log = home, log
        self._env = {**os.environ, "FANFARE_DATA_URIS": "never", **env}
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def start(self) -> None:
        """Start it, and wait until it can play."""
        command = [sys.executable, "-m", "fanfare.cli", "serve", "--port", "0", "--home"]
        with self._log.open("a") as log:
            self._process = process = subprocess.Popen(
                [*command, str(self.home), "--allow-private-urls", "--grace-s", "5"],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self._env,
                start_new_session=True,  # so that a signal reaches it and its worker, and no other
            )
        assert process.stdout is not None
        found = LISTENS.search(process.stdout.readline())
        assert found is not None, f"no server: {self._log.read_text()[-2000:]}"
        self.url = found[1]
        self.wait_ready()

    def wait_ready(self) -> None:
        """Until its worker can play."""
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            answer = httpx2.get(f"{self.url}/health-check", timeout=30)
            if answer.status_code == 200 and answer.json()["status"] in {"READY", "BUSY"}:
                return
            time.sleep(0.05)
        raise TimeoutError("the server has not become ready")

    def worker_pid(self) -> int | None:
        """The process that has the engine; None: there is none now."""
        assert self._process is not None
        for children in Path(f"/proc/{self._process.pid}/task").glob("*/children"):
            for pid in children.read_text().split():
                try:
                    command = Path(f"/proc/{pid}/cmdline").read_text()
                except OSError:
                    continue
                if "fanfare.server.worker" in command:
                    return int(pid)
        return None

    def kill_worker(self) -> None:
        """kill -9 of the worker; waits for one if there is none yet."""
        while (pid := self.worker_pid()) is None:
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)

    def kill(self) -> None:
        """kill -9 of everything."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._close()

    def stop(self) -> None:
        """End it as it wants to be ended."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(60)
            self._close()
        except subprocess.TimeoutExpired:
            self.kill()

    def _close(self) -> None:
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()


class Receiver:
    """Takes webhooks on a port that stays the same, and remembers how each prediction ended.

    Attributes:
        told: by prediction, the ids of the messages that told its end, as often as they came.
        heard_s: by prediction, when its end was heard first, by the steady clock.
        n_unsigned: messages whose signature was wrong.
        n_refusals: so many more ends are answered with 503.
    """

    def __init__(self) -> None:
        self.told: dict[str, list[str]] = {}
        self.heard_s: dict[str, float] = {}
        self.n_unsigned = self.n_refusals = 0
        self.secret = ""
        self._port = 0
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self.up()

    @property
    def url(self) -> str:
        """Where it listens, or would."""
        return f"http://127.0.0.1:{self._port}/hook"

    def up(self) -> None:
        """Listen, and answer."""
        self._open()
        assert self._server is not None
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        self._answers = True

    def silent(self) -> None:
        """Let connections come, and say nothing."""
        self._open()

    def down(self) -> None:
        """Be away: nobody can connect."""
        if self._server is not None:
            if self._answers:
                self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _open(self) -> None:
        self.down()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = receiver._take({k.lower(): v for k, v in self.headers.items()}, body)
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        self._server.daemon_threads = True
        self._port, self._answers = self._server.server_address[1], False

    def _take(self, headers: Mapping[str, str], body: bytes) -> int:
        id, stamp = headers["webhook-id"], headers["webhook-timestamp"]
        key = base64.b64decode(self.secret.removeprefix("whsec_"))
        right = hmac.digest(key, f"{id}.{stamp}.".encode() + body, "sha256")
        told = json.loads(body)
        with self._lock:
            if headers["webhook-signature"] != f"v1,{base64.b64encode(right).decode()}":
                self.n_unsigned += 1
            if told["status"] in FINAL:
                if self.n_refusals > 0:
                    self.n_refusals -= 1
                    return 503
                self.told.setdefault(told["id"], []).append(id)
                self.heard_s.setdefault(told["id"], time.monotonic())
        return 200


@dataclass
class Order:
    """One accepted prediction as its client sees it."""

    id: str
    seed: int
    hook: Receiver
    status: str = "starting"
    error: str = ""
    ended_s: float | None = None


@dataclass
class Count:
    """What came of a fault.

    Attributes:
        times: how often it was done.
        refused: orders that nobody took on: no answer, or one that says "later".
        lost: taken on, and neither made nor failed with a reason.
        half_served: music that wasn't whole when it was fetched.
        other_bytes: music that isn't what its seed makes.
        not_told: ends that the receiver wasn't told of, or by more than one message.
        told_twice: messages that came again, by the same id: receivers take them once.
        odd: answers that were errors of the server's own, and what else may not be.
        get_max_s: the longest that somebody waited who asked how far a piece is.
        back_max_s: the longest from the fault's end until all was made, and told.
    """

    fault: str
    times: int = 0
    asked: int = 0
    refused: int = 0
    succeeded: int = 0
    failed: int = 0
    lost: int = 0
    half_served: int = 0
    other_bytes: int = 0
    not_told: int = 0
    told_twice: int = 0
    unsigned: int = 0
    odd: int = 0
    get_max_s: float = 0.0
    back_max_s: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)

    @property
    def is_bad(self) -> bool:
        """Whether anything was lost that is promised."""
        served = self.lost + self.half_served + self.other_bytes
        return served + self.not_told + self.unsigned + self.odd > 0


class Clients:
    """They order, ask, fetch and listen, and count what isn't as it should be.

    Args:
        music: by seed, the digest of what it must become; a seed that isn't there is learnt.
    """

    def __init__(self, server: Server, count: Count, music: dict[int, str]) -> None:
        self.server, self.count, self.music = server, count, music
        self.receivers: list[Receiver] = []
        self.hook = self.receiver()
        self.orders: list[Order] = []
        self._lock = threading.Lock()
        self._http = httpx2.Client(timeout=60)
        self._hit_s = time.monotonic()
        self._stop = threading.Event()
        self._watching = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Clients:
        try:
            self.server.start()
        except BaseException:
            self.server.stop()
            raise
        answer = self._http.get(f"{self.server.url}/v1/webhooks/default/secret")
        self.hook.secret = answer.json()["key"]
        self._watching.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._watching.join()
        self.server.stop()
        for receiver in self.receivers:
            receiver.down()
        self._http.close()

    def receiver(self) -> Receiver:
        """One more receiver of webhooks."""
        made = Receiver()
        if self.receivers:
            made.secret = self.receivers[0].secret
        self.receivers.append(made)
        return made

    def ask(
        self, seeds: Iterable[int], hook: Receiver | None = None, headers: Mapping[str, str] = {}
    ) -> list[Order]:
        """Order pieces of one or two seconds; those that were taken on."""
        taken = []
        for seed in seeds:
            made = self._ask(seed, hook or self.hook, headers)
            if made is not None:
                taken.append(made)
        return taken

    def _ask(self, seed: int, hook: Receiver, headers: Mapping[str, str]) -> Order | None:
        given = {"prompt": "heroic brass", "duration": 1 + seed % 2, "seed": seed}
        order = {"input": given, "webhook": hook.url}
        url = f"{self.server.url}/v1/models/fofr/musicgen-epic/predictions"
        self.count.asked += 1
        try:
            answer = self._http.post(url, json=order, headers=dict(headers))
        except httpx2.TransportError:
            self.count.refused += 1  # nobody has said that it is taken on
            return None
        if answer.status_code != 201:
            self.count.refused += 1
            self._judge(answer.status_code)
            return None
        made = Order(answer.json()["id"], seed, hook)
        with self._lock:
            self.orders.append(made)
        return made

    def settle(self) -> None:
        """Wait until everything that was taken on has ended, and all of it has been told."""
        until = time.monotonic() + SETTLE_S
        while not all(self._is_over(order) for order in self.orders) and time.monotonic() < until:
            time.sleep(POLL_S)
        self.count.back_max_s = max(self.count.back_max_s, time.monotonic() - self._hit_s)

    def hit(self) -> None:
        """The fault is over: from now on the server may get well."""
        self._hit_s = time.monotonic()

    def finish(self) -> None:
        """Look at all orders once more, and count what came of them."""
        count = self.count
        for order in self.orders:
            ended, told = order.status, order.hook.told.get(order.id, [])
            self._look(self._http, order)
            count.odd += order.status != ended  # an end is the end
            count.succeeded += order.status == "succeeded"
            count.failed += order.status == "failed"
            count.lost += order.status not in {"succeeded", "failed"}
            count.not_told += len(set(told)) != 1
            count.told_twice += len(told) > 1
            if order.error:
                count.reasons[order.error] += 1
        count.unsigned = sum(receiver.n_unsigned for receiver in self.receivers)

    def _open(self) -> list[Order]:
        with self._lock:
            return [order for order in self.orders if order.status not in FINAL]

    def _is_over(self, order: Order) -> bool:
        return order.status in FINAL and order.id in order.hook.told

    def _watch(self) -> None:
        """Look at all that isn't done, again and again, whatever the server goes through."""
        http = httpx2.Client(timeout=60)
        while not self._stop.is_set():
            for order in self._open():
                try:
                    self._look(http, order)
                except httpx2.TransportError:
                    continue  # there is no server just now
            self._stop.wait(POLL_S)
        http.close()

    def _look(self, http: httpx2.Client, order: Order) -> None:
        began_s = time.monotonic()
        answer = http.get(f"{self.server.url}/v1/predictions/{order.id}")
        self.count.get_max_s = max(self.count.get_max_s, time.monotonic() - began_s)
        if answer.status_code != 200:
            self._judge(answer.status_code)
            return
        seen = answer.json()
        if seen["status"] == "succeeded":
            # By the server that runs now: it may listen elsewhere than the one that made it.
            sound = http.get(self.server.url + "/" + seen["output"].split("/", 3)[3])
            self._check(order, sound.status_code, sound.content)
        if seen["status"] in FINAL:
            self.count.odd += seen["metrics"]["total_time"] < 0
            order.error, order.ended_s = seen["error"] or "", time.monotonic()
            order.status = seen["status"]

    def _check(self, order: Order, code: int, sound: bytes) -> None:
        """Is it whole, and what its seed makes?"""
        is_whole = sound[:4] == b"RIFF" and int.from_bytes(sound[4:8], "little") + 8 == len(sound)
        digest = hashlib.sha256(sound).hexdigest()
        if code != 200 or not is_whole:
            self.count.half_served += 1
        elif self.music.setdefault(order.seed, digest) != digest:
            self.count.other_bytes += 1

    def _judge(self, code: int) -> None:
        if code not in LATER:
            self.count.odd += 1


def record(count: Count) -> dict[str, Any]:
    """For the line of JSON."""
    return {**vars(count), "reasons": dict(count.reasons)}
