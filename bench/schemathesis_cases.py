"""Thousands of requests made of the API's own document: does any of them break the server?

schemathesis reads /openapi.json and sends what fits it and what doesn't: to every route, values at
and beyond their limits, wrong types, half characters; in half of the cases with ids of its own,
in the others with those of a prediction, a file and a model that are there. Whatever comes, no
answer may be a 5xx. The server is a real one; its pieces last a second and its queue is short, so
that most requests meet a server that plays, and some one that is full.

schemathesis needs libraries of its own: install it into any environment, and name its command if
it isn't on the path. Ends with one line of JSON; ends with 1 if anything broke or too little ran.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx2

from live import Live, live, resident_bytes
from machine import hardware

TOKEN = "a-token-for-tests"
ENV = {"FANFARE_TOKENS": TOKEN, "FANFARE_MAX_DURATION_S": "1", "FANFARE_MAX_QUEUE": "8"}
PHASES = "examples,coverage,fuzzing,stateful"
FIRST_EXAMPLES = 20
"""Cases for each route in the first round; later rounds have twice as many as those before."""
N_ROUNDS = 6
START_S = 120.0


def known(server: Live) -> dict[str, str]:
    """Names and ids that lead somewhere."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with httpx2.Client(base_url=f"http://{server.host}:{server.port}", headers=headers) as http:
        file = http.post("/v1/files", files={"content": ("in.wav", b"RIFF")}).json()
        order = {"input": {"prompt": "epic", "duration": 1}}
        made = http.post("/v1/models/fanfare/epic-mini/predictions", json=order).json()
        end = time.monotonic() + START_S
        while (now := http.get(f"/v1/predictions/{made['id']}").json())["status"] != "succeeded":
            assert time.monotonic() < end, now
            time.sleep(0.1)
    return {
        "prediction_id": made["id"],
        "version_id": made["version"],
        "model_owner": "fanfare",
        "model_name": "epic-mini",
        "file_id": file["id"],
    }


def round_of(
    command: str, server: Live, ids: dict[str, str], n_examples: int, seed: int
) -> Counter[int]:
    """Run schemathesis once; the statuses of all answers. With `ids`, none of them is deleted."""
    with tempfile.TemporaryDirectory() as folder:
        events, config = Path(folder) / "events.ndjson", Path(folder) / "config.toml"
        config.write_text("[parameters]\n" + "".join(f'"path.{k}" = "{ids[k]}"\n' for k in ids))
        run = [
            *(command, "--config-file", str(config)),
            *("run", f"http://{server.host}:{server.port}/openapi.json"),
            *(("--exclude-method", "DELETE") if ids else ()),
            *("--phases", PHASES, "--max-examples", str(n_examples), "--seed", str(seed)),
            *("--checks", "not_a_server_error", "--continue-on-failure", "--no-color"),
            *("--header", f"Authorization: Bearer {TOKEN}", "--no-shrink", "--warnings", "off"),
            *("--generation-database", "none", "--output-sanitize", "false"),
            *("--report", "ndjson", "--report-ndjson-path", str(events)),
        ]
        done = subprocess.run(run, capture_output=True, text=True, cwd=folder)
        if done.returncode not in (0, 1):
            sys.exit(f"schemathesis could not run:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        if done.returncode:
            print(done.stdout[-6000:])
        lines = events.read_text(encoding="utf-8", errors="replace").splitlines()
        return Counter(status for line in lines for status in statuses(json.loads(line)))


def statuses(event: Any) -> list[int]:
    """Every status code of an answer, wherever it stands in an event."""
    if isinstance(event, dict):
        own = event.get("status_code")
        found = [own] if isinstance(own, int) else []
        return found + [status for value in event.values() for status in statuses(value)]
    if isinstance(event, list):
        return [status for value in event for status in statuses(value)]
    return []


def main() -> None:
    """Run round after round until there were enough cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--schemathesis", default="schemathesis", help="its command")
    args = parser.parse_args()
    command = shutil.which(args.schemathesis)
    if command is None:
        sys.exit("schemathesis isn't here: pip install schemathesis, or --schemathesis its path")
    print(__doc__.splitlines()[0], hardware(), sep="\n")
    began = time.perf_counter()
    seen: Counter[int] = Counter()
    with live(env=ENV) as server:
        there = known(server)
        worker, before = server.worker_pid(), server.resident_bytes()
        for i in range(N_ROUNDS):
            for ids in ({}, there):
                seen += round_of(command, server, ids, FIRST_EXAMPLES << i, args.seed + i)
            print(f"{seen.total():6} cases after {time.perf_counter() - began:.0f} s", flush=True)
            if seen.total() >= args.cases:
                break
        is_alive = server.process.poll() is None and server.worker_pid() == worker
        after = server.resident_bytes()
        log = server.log.read_text(errors="replace")
        worker_mb = resident_bytes(worker) / 1e6 if worker and is_alive else 0.0
    broken = sum(count for status, count in seen.items() if status >= 500)
    faults = len(re.findall(r'"level": "error"', log))
    result = {
        "cases": seen.total(),
        "statuses": {str(status): seen[status] for status in sorted(seen)},
        "server_errors": broken,
        "errors_logged": faults,
        "processes_alive": is_alive,
        "api_mb": [round(before / 1e6, 1), round(after / 1e6, 1)],
        "worker_mb": round(worker_mb, 1),
        "seconds": round(time.perf_counter() - began, 1),
    }
    for name, value in result.items():
        print(f"{name:18} {value}")
    print(json.dumps(result))
    if broken or faults or not is_alive or seen.total() < args.cases:
        sys.exit(1)


if __name__ == "__main__":
    main()
