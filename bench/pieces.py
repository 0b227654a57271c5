"""A piece made from its request to its file, and how long the parts of that took."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import fanfare
from common import PROMPT
from fanfare.predict import Finished, Progress
from timing import wait


@dataclass(frozen=True)
class Timing:
    """Of one piece, or of several made at once.

    Attributes:
        steps_per_s: of the language model's loop alone, from the end of the first step, which
            holds the prefill, to that of the last.
        loop_s: how long that took.
        whole_s: from the request to the bytes of the files.
    """

    steps_per_s: float
    loop_s: float
    whole_s: float


def request_for(seed: int, duration_s: int, prompt: str = PROMPT) -> dict[str, object]:
    """Settings are the defaults (guidance 3, top_k 250)."""
    return {"prompt": prompt, "seed": seed, "duration": duration_s, "output_format": "wav"}


def timed(model: fanfare.Model, requests: Sequence[dict[str, object]]) -> Timing:
    """Make pieces of one length at once: text, steps, codec, loudness, files."""
    device = model.bundle.lm.device
    wait(device)
    started = time.perf_counter()
    first_s = last_s = 0.0
    n_steps = 0
    for event in model.events(requests):
        if isinstance(event, Progress):
            # Steps are queued on a device; only the ends of the loop wait for it.
            n_steps = event.n_steps
            if event.step in (1, n_steps):
                wait(device)
                last_s = time.perf_counter()
                first_s = first_s or last_s
        elif isinstance(event, Finished):
            event.audio.to_bytes()
    assert n_steps > 1, n_steps
    loop_s = last_s - first_s
    return Timing((n_steps - 1) / loop_s, loop_s, time.perf_counter() - started)
