"""Malformed audio through a real server: is each refused with a reason, and does nothing suffer?

Every input goes the way that clients take: uploaded as a file or inside the request, as a melody or
to be carried on. What holds no sound must end as a 422 or as a failed prediction that names
`input_audio`; what is only damaged may also be played. Nothing may end otherwise, kill a process,
or make one grow for good; and in the end the server plays what it played before, to the byte.

Prints a table and ends with one line of JSON; ends with 1 if anything went wrong.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

import httpx2

from live import Live, live, resident_bytes
from machine import hardware
from malformed_files import Malformed, malformed

AT_ONCE = 20
SAMPLES = 6
"""How often memory is looked at."""
MAX_GROWTH = 0.1
DEADLINE_S = 300.0
FINAL = ("succeeded", "failed", "canceled")
OWN_FIELDS = ("input_audio: ", "continuation_start: ")


@dataclass
class Found:
    """What became of them.

    Attributes:
        outcomes: by kind: refused at once (422), failed with a reason, or played.
        faults: whatever must not be.
        memory: MB of the API and of the worker, as time went by.
    """

    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    faults: list[str] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)

    def is_flat(self) -> bool:
        """Whether neither process grew between the first third and the end."""
        settled = self.memory[len(self.memory) // 3 :]
        return all(
            last <= first * (1 + MAX_GROWTH)
            for first, last in zip(settled[0], settled[-1], strict=True)
        )


class Caller:
    """A client that sends what no client should."""

    def __init__(self, server: Live) -> None:
        self._http = httpx2.Client(base_url=f"http://{server.host}:{server.port}", timeout=60)

    def order(self, one: Malformed, number: int) -> httpx2.Response:
        """The answer to its upload, if that was refused, or to the prediction."""
        source = one.value
        if isinstance(source, bytes) and number % 3:
            answer = self._http.post("/v1/files", files={"content": ("sound.wav", source)})
            if answer.status_code != 201:
                return answer
            source = answer.json()["urls"]["get"]
        elif isinstance(source, bytes):
            source = "data:audio/wav;base64," + base64.b64encode(source).decode()
            if len(source) > 10_000_000:
                return self.order(one, 1)
        given = {"prompt": "epic", "duration": 1, "input_audio": source, "seed": number}
        either = random.Random(number).random() < 0.5
        carried_on = either if one.carried_on is None else one.carried_on
        return self.create({**given, "continuation": carried_on})

    def create(self, given: dict[str, Any]) -> httpx2.Response:
        """The answer to a new prediction. Text may hold half characters: JSON can say them."""
        body = json.dumps({"input": given})
        path = "/v1/models/fofr/musicgen-epic/predictions"
        return self._http.post(path, content=body, headers={"Content-Type": "application/json"})

    def until_done(self, id: str) -> dict[str, Any]:
        """A prediction once it is final."""
        end = time.monotonic() + DEADLINE_S
        while True:
            made: dict[str, Any] = self._http.get(f"/v1/predictions/{id}").json()
            if made["status"] in FINAL or time.monotonic() > end:
                return made
            time.sleep(0.05)

    def usual(self) -> str:
        """What a good request gives."""
        made = self.create({"prompt": "epic", "duration": 1, "seed": 7}).json()
        return str(self.until_done(made["id"])["output"])

    def close(self) -> None:
        """Let go."""
        self._http.close()


def judge(caller: Caller, one: Malformed, answer: httpx2.Response) -> tuple[str, str]:
    """What became of an input, and what is wrong with that, if anything."""
    if answer.status_code == 422:
        is_named = "input_audio" in answer.text or "content" in answer.text
        return "422", "" if is_named else f"422 without a reason: {answer.text}"
    if answer.status_code != 201:
        return str(answer.status_code), f"{answer.status_code}: {answer.text[:200]}"
    made = caller.until_done(answer.json()["id"])
    status, error = made["status"], str(made["error"])
    if status == "failed":
        return "failed", "" if error.startswith(OWN_FIELDS) else f"failed: {error[:200]}"
    if status == "succeeded":
        return "played", "" if one.may_play else "played, though there is no sound in it"
    return status, f"{status}: never ended"


def run(server: Live, n: int, seed: int) -> Found:
    """Send them all, some at a time."""
    found = Found()
    caller = Caller(server)
    before, worker = caller.usual(), server.worker_pid()
    assert worker is not None
    inputs = malformed(n, seed)
    every = max(AT_ONCE, n // SAMPLES)
    for start in range(0, n, AT_ONCE):
        some = inputs[start : start + AT_ONCE]
        answers = [caller.order(one, start + i) for i, one in enumerate(some)]
        for i, (one, answer) in enumerate(zip(some, answers, strict=True)):
            outcome, fault = judge(caller, one, answer)
            found.outcomes[one.kind][outcome] += 1
            if fault:
                found.faults.append(f"{start + i} ({one.kind}): {fault}")
        if start // every != (start + len(some)) // every:
            found.memory.append((server.resident_bytes() / 1e6, resident_bytes(worker) / 1e6))
    if server.worker_pid() != worker or server.process.poll() is not None:
        found.faults.append("a process ended")
    if caller.usual() != before:
        found.faults.append("the music has changed")
    caller.close()
    return found


def main() -> None:
    """Send, count and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print(__doc__.splitlines()[0], hardware(), sep="\n")
    began = time.perf_counter()
    with live() as server:
        found = run(server, args.inputs, args.seed)
    sums: Counter[str] = Counter()
    for kind, outcomes in found.outcomes.items():
        print(f"{kind:26}", *(f"{name} {count}" for name, count in sorted(outcomes.items())))
        sums += outcomes
    for fault in found.faults:
        print("FAULT", fault)
    memory = [[round(mb, 1) for mb in pair] for pair in found.memory]
    print("MB of API and worker:", memory)
    result = {
        "inputs": sum(sums.values()),
        **sums,
        "faults": len(found.faults),
        "api_worker_mb": memory,
        "is_flat": found.is_flat(),
        "seconds": round(time.perf_counter() - began, 1),
    }
    print(json.dumps(result))
    if found.faults or not found.is_flat():
        sys.exit(1)


if __name__ == "__main__":
    main()
