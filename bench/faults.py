"""What goes wrong where music is made for weeks, done on purpose, and counted.

Each fault is done to a real server that plays pieces of one or two seconds by epic-mini, while
clients order, ask and fetch, and a receiver takes webhooks. Whatever was answered with 201 must
end; what is served must be whole, and for one seed always the same bytes; each end must be told.

    worker   kill -9 of the worker, at random moments
    server   kill -9 of everything, at random moments, and a new start
    disk     a disk without a single free byte (a tmpfs: as root on Linux)
    locked   another process holds the database's lock
    webhook  receivers that are away, refuse, or say nothing, and a kill -9 meanwhile
    clock    the clock is set two hours forward, then four back, then right (skew.c, preloaded)

Prints a table and ends with one line of JSON; ends with 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from machine import hardware
from rig import SETTLE_S, Clients, Count, Receiver, Server, record

AT_ONCE = 6
MOMENT_S = 1.5
"""Six pieces are claimed, played and written within about so long."""
DISK_BYTES = 96 * 2**20
FULL_S = 4.0
AWAY_S = 6.0
HEALTHY_S = 5.0
"""A receiver that is there hears of an end within so long, whatever others do."""
LOCK = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("ROLLBACK")
"""
JUMP_S = 2 * 3600


class NotHereError(Exception):
    """What a fault needs isn't on this machine."""


@dataclass
class Stage:
    """What a fault is done to."""

    clients: Clients
    dice: random.Random
    args: argparse.Namespace
    folder: Path

    @property
    def server(self) -> Server:
        """The server."""
        return self.clients.server

    def ask(self, hook: Receiver | None = None) -> None:
        """Order a handful of pieces."""
        self.clients.ask(range(AT_ONCE), hook)

    def wait(self) -> None:
        """Until a random moment of making them."""
        time.sleep(self.dice.uniform(0, MOMENT_S))


def worker(stage: Stage) -> None:
    """kill -9 of the worker; now and then of the next one, too, while it tries again."""
    stage.ask()
    stage.wait()
    stage.server.kill_worker()
    stage.clients.hit()
    if stage.dice.random() < 0.25:
        stage.wait()
        stage.server.kill_worker()
    stage.clients.settle()


def server(stage: Stage) -> None:
    """kill -9 of everything, while more is being ordered."""
    with _asking(stage):
        stage.ask()
        stage.wait()
        stage.server.kill()
        stage.clients.hit()
    stage.server.start()
    stage.clients.settle()


def disk(stage: Stage) -> None:
    """No free byte for seconds, while pieces are made and ordered; then there is room again."""
    stage.ask()
    stage.wait()
    ballast = stage.server.home / "ballast"
    with ballast.open("wb") as file:
        _fill(file.fileno())
        stage.ask()
        time.sleep(FULL_S)
        _fill(file.fileno())
        stage.ask()
    ballast.unlink()
    stage.clients.hit()
    stage.clients.settle()
    n_before = stage.clients.count.refused
    stage.ask()
    stage.clients.settle()
    stage.clients.count.odd += stage.clients.count.refused - n_before  # there is room


def locked(stage: Stage) -> None:
    """Another process holds the lock for longer than a transaction waits."""
    stage.ask()
    stage.wait()
    database = stage.server.home / "fanfare.db"
    command = [sys.executable, "-c", LOCK, str(database), str(stage.args.lock_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        stage.clients.ask([0])
        holder.wait()
    stage.clients.hit()
    stage.ask()
    stage.clients.settle()


def webhook(stage: Stage) -> None:
    """One receiver is away, one says nothing, one is there; the server dies meanwhile."""
    away, silent = stage.clients.receiver(), stage.clients.receiver()
    away.down()
    silent.silent()
    for hook in (silent, away, stage.clients.hook):
        stage.ask(hook)
    _ended(stage, stage.clients.hook)
    there = [o for o in stage.clients.orders if o.hook is stage.clients.hook]
    late = [o for o in there if o.hook.heard_s[o.id] - (o.ended_s or 0) > HEALTHY_S]
    stage.clients.count.not_told += len(late)
    stage.server.kill()
    stage.server.start()
    time.sleep(AWAY_S)
    for hook in (away, silent):
        hook.n_refusals = 3
        hook.up()
    stage.clients.hit()
    stage.clients.settle()


def clock(stage: Stage) -> None:
    """Set while pieces with a deadline are made, and ends are to be told to one who is away."""
    clients, told_late = stage.clients, stage.clients.receiver()
    told_late.down()
    for skew_s in (JUMP_S, -JUMP_S, 0):
        clients.ask(range(AT_ONCE), headers={"Cancel-After": "10m"})
        clients.ask([0], told_late)
        stage.wait()
        _set_skew(stage.folder, skew_s)
        clients.ask(range(AT_ONCE), headers={"Cancel-After": "10m"})
        _ended(stage, clients.hook)
    told_late.up()
    clients.hit()
    clients.settle()


FAULTS: dict[str, tuple[Callable[[Stage], None], int]] = {
    "worker": (worker, 20),
    "server": (server, 10),
    "disk": (disk, 5),
    "locked": (locked, 2),
    "webhook": (webhook, 2),
    "clock": (clock, 2),
}
"""What is done, and how often unless --repeats says."""


def _ended(stage: Stage, hook: Receiver) -> None:
    """Wait until what this receiver is told of has ended, and it knows."""
    until = time.monotonic() + SETTLE_S
    while time.monotonic() < until:
        if all(order.id in hook.heard_s for order in stage.clients.orders if order.hook is hook):
            return
        time.sleep(0.05)


@contextmanager
def _asking(stage: Stage) -> Iterator[None]:
    """Clients that go on ordering, whether anybody answers or not."""
    stop = threading.Event()

    def ask() -> None:
        while not stop.wait(0.2):
            stage.clients.ask([6])

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _fill(file: int) -> None:
    """Write until nothing more can be."""
    for size in (2**20, 4096, 1):
        try:
            while os.write(file, bytes(size)):
                pass
        except OSError:
            continue


def _is_sound(database: Path) -> bool:
    """Whether the database is what SQLite thinks whole."""
    with closing(sqlite3.connect(database)) as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchone() == ("ok",))


@contextmanager
def _home(fault: str, folder: Path) -> Iterator[Path]:
    """Where the server's home is to be; on a small disk for `disk`."""
    home = folder / "home"
    home.mkdir()
    if fault != "disk":
        yield home
        return
    size = f"size={DISK_BYTES}"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(home)], capture_output=True, check=False
    ) if shutil.which("mount") else None  # fmt: skip
    if mounted is None or mounted.returncode != 0:
        raise NotHereError("no tmpfs can be mounted: run it as root on Linux")
    try:
        yield home
    finally:
        subprocess.run(["umount", "-l", str(home)], check=True)


def _environment(fault: str, folder: Path) -> dict[str, str]:
    """What the server's processes are to believe."""
    if fault != "clock":
        return {}
    shim = folder / "skew.so"
    source = Path(__file__).with_name("skew.c")
    built = subprocess.run(
        ["cc", "-O1", "-shared", "-fPIC", "-o", str(shim), str(source)],
        capture_output=True, check=False,
    ) if shutil.which("cc") and sys.platform == "linux" else None  # fmt: skip
    if built is None or built.returncode != 0:
        raise NotHereError("a C compiler is needed, on Linux")
    _set_skew(folder, 0)
    return {"LD_PRELOAD": str(shim), "SKEW_FILE": str(folder / "skew")}


def _set_skew(folder: Path, skew_s: int) -> None:
    """Set the clock of the server's processes, in place: they have the file mapped."""
    file = os.open(folder / "skew", os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        os.write(file, struct.pack("=q", skew_s))
    finally:
        os.close(file)


def done(fault: str, music: dict[int, str], args: argparse.Namespace) -> Count:
    """Do a fault as often as asked, and count."""
    act, times = FAULTS[fault]
    times = args.repeats or times
    count = Count(fault, times)
    with tempfile.TemporaryDirectory(prefix="fanfare-faults-") as made:
        folder = Path(made)
        with _home(fault, folder) as home:
            running = Server(home, folder / "serve.log", _environment(fault, folder))
            with Clients(running, count, music) as clients:
                stage = Stage(clients, random.Random(f"{args.seed} {fault}"), args, folder)
                for _ in range(times):
                    act(stage)
                clients.finish()
            count.odd += not _is_sound(home / "fanfare.db")
        if args.log:
            lines = (folder / "serve.log").read_text().splitlines()
            print(*(line for line in lines if '"level": "info"' not in line), sep="\n")
    return count


def learnt(args: argparse.Namespace) -> dict[int, str]:
    """What each seed becomes on a server that nothing happens to."""
    count, music = Count("none"), dict[int, str]()
    with tempfile.TemporaryDirectory(prefix="fanfare-faults-") as made:
        server = Server(Path(made) / "home", Path(made) / "serve.log")
        with Clients(server, count, music) as clients:
            clients.ask(range(AT_ONCE + 1))
            clients.settle()
            clients.finish()
    assert count.succeeded == AT_ONCE + 1, count
    return music


COLUMNS = {
    "fault": "fault", "times": "times", "asked": "asked", "refused": "refused",
    "succeeded": "made", "failed": "failed", "lost": "lost", "half_served": "half",
    "other_bytes": "other", "not_told": "untold", "told_twice": "twice", "unsigned": "unsigned",
    "odd": "odd", "get_max_s": "get s", "back_max_s": "back s",
}  # fmt: skip


def table(counts: list[Count]) -> str:
    """All counts, a line each, with the reasons of what failed below."""
    lines = ["".join(f"{name:>9}" for name in COLUMNS.values())]
    for count in counts:
        values = (getattr(count, name) for name in COLUMNS)
        shown = (f"{value:.1f}" if isinstance(value, float) else str(value) for value in values)
        lines.append("".join(f"{value:>9}" for value in shown))
    for count in counts:
        lines += [f"{count.fault}: {n} × {reason}" for reason, n in count.reasons.items()]
    return "\n".join(lines)


def main() -> None:
    """Do the faults, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", choices=FAULTS, help="one of the faults")
    parser.add_argument("--repeats", type=int, help="how often each is done")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    parser.add_argument("--lock-s", type=float, default=15.0, help="how long the lock is held")
    parser.add_argument("--log", action="store_true", help="print the servers' logs, too")
    args = parser.parse_args()
    print(__doc__.splitlines()[0], hardware(), sep="\n")
    music, counts = learnt(args), []
    for fault in [args.only] if args.only else FAULTS:
        try:
            counts.append(done(fault, music, args))
        except NotHereError as error:
            print(f"{fault}: not here: {error}")
            continue
        print(table(counts[-1:]).splitlines()[1], flush=True)
    print(table(counts))
    print(json.dumps({"bench": "faults", "seed": args.seed, "rows": [*map(record, counts)]}))
    if any(count.is_bad for count in counts):
        sys.exit(1)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no server stays behind
    main()
