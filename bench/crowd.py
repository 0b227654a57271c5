"""Many clients at once on one server: is everyone served, and how soon are they answered?

Each client orders pieces of a few seconds, one after the other, and asks for each every half second
until it is done, as the official clients do (or, with --wait, lets its request wait for it as they
also do, and only one more asks). Whoever is told to come again later (429) does so when told. The
limit is the engine's: all pieces together take no less than their music divided by its real-time
factor. Meanwhile every GET is timed, from its first byte sent to its last received, on the same
cores that play.

Prints a table and ends with one line of JSON; ends with 1 if a prediction was lost.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from live import Connection, Live, live, resident_bytes
from machine import hardware

POLL_S = 0.5
PROBE_S = 0.02
PROBES_PER_LIST = 50
PROMPTS = ("epic trailer music", "calm harp and strings", "heroic brass, 120 bpm", "dark taiko")


@dataclass
class Seen:
    """What clients saw."""

    gets_s: list[float] = field(default_factory=list)
    creates_s: list[float] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)
    api_bytes: list[int] = field(default_factory=list)


async def client(server: Live, seen: Seen, n_pieces: int, args: argparse.Namespace) -> None:
    """Orders pieces, one after the other."""
    async with Connection(server.host, server.port) as connection:
        for i in range(n_pieces):
            prompt = PROMPTS[i % len(PROMPTS)]
            order = {"input": {"prompt": prompt, "duration": args.duration}}
            headers = {"Prefer": "wait=60"} if args.wait else {}
            prediction = await created(connection, seen, order, headers)
            while prediction["status"] in {"starting", "processing"}:
                await asyncio.sleep(POLL_S)
                prediction = await got(connection, seen, prediction["id"])
            seen.statuses[prediction["status"]] += 1


async def created(
    connection: Connection, seen: Seen, order: Any, headers: dict[str, str]
) -> dict[str, Any]:
    """A prediction, as soon as there is room for it."""
    while True:
        began = time.perf_counter()
        code, body = await connection.ask(
            "POST", "/v1/models/fofr/musicgen-epic/predictions", order, headers
        )
        seen.codes[code] += 1
        if code == 201:
            seen.creates_s.append(time.perf_counter() - began)
            return dict(body)
        assert code == 429, (code, body)
        await asyncio.sleep(1.0)


async def got(connection: Connection, seen: Seen, id: str) -> dict[str, Any]:
    """A prediction as it is now."""
    began = time.perf_counter()
    code, body = await connection.ask("GET", f"/v1/predictions/{id}")
    seen.gets_s.append(time.perf_counter() - began)
    seen.codes[code] += 1
    assert code == 200, (code, body)
    return dict(body)


async def probe(server: Live, seen: Seen) -> None:
    """Asks for predictions that aren't done, again and again."""
    async with Connection(server.host, server.port) as connection:
        for i in itertools.count():
            if i % PROBES_PER_LIST == 0:
                _, page = await connection.ask("GET", "/v1/predictions")
                ids = [row["id"] for row in page["results"] if row["status"] != "succeeded"]
            if ids:
                await got(connection, seen, ids[i % len(ids)])
            await asyncio.sleep(PROBE_S)


async def watch(server: Live, seen: Seen) -> None:
    """Memory of the API, now and then."""
    while True:
        seen.api_bytes.append(server.resident_bytes())
        await asyncio.sleep(1.0)


async def crowd(server: Live, args: argparse.Namespace) -> Seen:
    """All clients, until the last has its last piece."""
    seen = Seen()
    watching = [asyncio.create_task(watch(server, seen)), asyncio.create_task(probe(server, seen))]
    share, rest = divmod(args.predictions, args.clients)
    shares = [share + (i < rest) for i in range(args.clients)]
    await asyncio.gather(*(client(server, seen, n, args) for n in shares))
    for task in watching:
        task.cancel()
    return seen


def quantile(values: list[float], part: float) -> float:
    """The value that `part` of all are below."""
    return sorted(values)[min(len(values) - 1, int(part * len(values)))]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--predictions", type=int, default=400)
    parser.add_argument("--duration", type=int, default=4, help="of a piece, in seconds")
    parser.add_argument("--wait", action="store_true", help="requests wait (Prefer: wait)")
    args = parser.parse_args()
    print(__doc__.splitlines()[0], hardware(), sep="\n")
    with live() as server:
        before = server.resident_bytes()
        began = time.perf_counter()
        seen = asyncio.run(crowd(server, args))
        took_s = time.perf_counter() - began
        worker = server.worker_pid()
        worker_mb = resident_bytes(worker) / 1e6 if worker else 0.0
    n = sum(seen.statuses.values())
    # Memory is compared once everything has been used: between a tenth of the way and the end.
    early = statistics.median(seen.api_bytes[len(seen.api_bytes) // 10 :][:5])
    late = statistics.median(seen.api_bytes[-5:])
    found = {
        "predictions": n,
        **seen.statuses,
        "codes": {str(code): count for code, count in sorted(seen.codes.items())},
        "seconds": round(took_s, 1),
        "x_real_time": round(n * args.duration / took_s, 2),
        "gets": len(seen.gets_s),
        **{f"get_p{p}_ms": round(1e3 * quantile(seen.gets_s, p / 100), 1) for p in (50, 95, 99)},
        "get_max_ms": round(1e3 * max(seen.gets_s), 1),
        "create_p95_ms": round(1e3 * quantile(seen.creates_s, 0.95), 1),
        "api_mb": [round(x / 1e6, 1) for x in (before, early, late)],
        "api_growth": round(late / early - 1, 3),
        "worker_mb": round(worker_mb),
    }
    for name, value in found.items():
        print(f"{name:18} {value}")
    print(json.dumps({"clients": args.clients, "duration": args.duration, **found}))
    if seen.statuses["succeeded"] != args.predictions:
        sys.exit(1)


if __name__ == "__main__":
    main()
