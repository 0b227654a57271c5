"""Malformed audio: made alike every time, judged rightly, and refused by a real server."""

from __future__ import annotations

import io
import time

import httpx2
import pytest

from fanfare.audio.io import read_audio
from fanfare.errors import AudioFileError
from live import live
from malformed import Found, judge, run
from malformed_files import Malformed, good_file, malformed, silence

N_KINDS = 14


def test_the_same_seed_makes_the_same_files() -> None:
    once = malformed(8 * N_KINDS, 3)
    time.sleep(2.1)  # a date of the clock would differ
    assert once == malformed(8 * N_KINDS, 3)
    assert once != malformed(8 * N_KINDS, 4)
    assert len({one.kind for one in once}) == N_KINDS


def test_what_is_damaged_was_good_before() -> None:
    for container in ("wav", "mp3", "flac", "ogg", "webm", "mp4", "aiff", "avi"):
        assert read_audio(io.BytesIO(good_file(container))).duration_s == pytest.approx(2, abs=0.1)
    assert read_audio(io.BytesIO(silence(20, 8000))).samples.shape[0] == 2
    with pytest.raises(AudioFileError, match="longer than 600 s"):
        read_audio(io.BytesIO(silence(36_000, 8000)))


class Ended:
    """A caller whose predictions have ended somehow."""

    def __init__(self, status: str, error: str | None) -> None:
        self.made = {"status": status, "error": error}

    def until_done(self, id: str) -> dict[str, str | None]:
        return self.made


@pytest.mark.parametrize(
    ("may_play", "code", "status", "error", "is_fault"),
    [
        (False, 422, "", None, False),
        (False, 500, "", None, True),
        (False, 201, "failed", "input_audio: has no sound in it", False),
        (False, 201, "failed", "Something went wrong inside the server; its log says what.", True),
        (False, 201, "succeeded", None, True),
        (True, 201, "succeeded", None, False),
        (True, 201, "processing", None, True),
    ],
)
def test_judging(may_play: bool, code: int, status: str, error: str | None, is_fault: bool) -> None:
    answer = httpx2.Response(code, json={"id": "x", "detail": "input_audio is wrong"})
    one = Malformed("cut", b"", may_play)
    _, fault = judge(Ended(status, error), one, answer)  # type: ignore[arg-type]
    assert bool(fault) is is_fault


@pytest.mark.parametrize(
    ("memory", "is_flat"),
    [
        ([(90, 500), (95, 600), (96, 610), (97, 620)], True),
        ([(90, 500), (95, 600), (96, 640), (97, 670)], False),
        ([(90, 500), (90, 600), (96, 600), (100, 600)], False),
    ],
)
def test_growing_is_seen(memory: list[tuple[float, float]], is_flat: bool) -> None:
    assert Found(memory=memory).is_flat() is is_flat


@pytest.mark.slow
def test_malformed_audio_hurts_nobody() -> None:
    n = 3 * N_KINDS
    with live() as server:
        found = run(server, n, seed=5)
    assert found.faults == []
    assert sum(sum(outcomes.values()) for outcomes in found.outcomes.values()) == n
