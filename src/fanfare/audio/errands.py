"""One errand on sound files, in a process of its own: `python -m fanfare.audio.errands`.

A server sends it one JSON object on standard input and gets one back on standard output: so that
what numpy and FFmpeg need, and what they might do over a hostile file, stays out of the server.

    {"task": "analyse", "file": …, "melody": {"file", "start_s", "end_s"} | null}  → see analysis.py
    {"task": "convert", "file": …, "to": …, "format": "wav" | "mp3" | "flac" | "ogg"}     → {}
    anything that can't be done                                                → {"error": …}
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fanfare.audio.analysis import analyse
from fanfare.audio.io import Samples, encode, read_audio
from fanfare.audio.tags import embed, read_tags
from fanfare.errors import FanfareError

NICE = 5
"""As nice as the worker: the server itself goes first, so that everybody is heard."""
MAX_S = 24 * 3600
MAX_BYTES = 2**33


def run(errand: Mapping[str, Any]) -> dict[str, Any]:
    """Do it; FanfareError or OSError where it can't be done."""
    path = Path(errand["file"])
    # Music that was made here is as long as it is: only recordings of strangers are limited.
    recording = read_audio(path, field="file", max_s=MAX_S, max_bytes=MAX_BYTES)
    if errand["task"] == "analyse":
        about = errand.get("melody")
        melody = None if about is None else _melody(about)
        return analyse(recording.samples, recording.sample_rate_hz, melody)
    assert errand["task"] == "convert", errand["task"]
    made = encode(recording.samples, recording.sample_rate_hz, errand["format"])
    tags = read_tags(path)
    if tags is not None:
        made = embed(made, errand["format"], tags)
    Path(errand["to"]).write_bytes(made)
    return {}


def _melody(about: Mapping[str, Any]) -> tuple[Samples, int] | None:
    """The part of a recording that was to be followed; None when it can't be read any more."""
    try:
        heard = read_audio(about["file"], field="melody", stop_s=about["end_s"])
    except FanfareError:
        return None
    samples = heard.samples[:, int(about["start_s"]) * heard.sample_rate_hz :]
    return (samples, heard.sample_rate_hz) if samples.shape[1] else None


def main() -> int:
    """Do the errand that standard input brings."""
    if hasattr(os, "nice"):
        os.nice(NICE)
    try:
        answer = run(json.load(sys.stdin))
    except (FanfareError, OSError, MemoryError) as error:
        answer = {"error": str(error) or type(error).__name__}
    json.dump(answer, sys.stdout, allow_nan=False, separators=(",", ":"))
    return 1 if "error" in answer else 0


if __name__ == "__main__":
    sys.exit(main())
