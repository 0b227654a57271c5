"""Long pieces have sections; short ones keep their one gesture."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest

from fanfare.epic.attributes import FORMS, Attributes, Form
from fanfare.epic.brief import settle
from fanfare.epic.compose import compose, form_levels
from fanfare.epic.score import Brief

MINUTES = 60 * 50
"""Frames."""


def brief(form: Form, bpm: int = 120, intensity: int = 3) -> Brief:
    made = settle(Attributes(bpm=bpm, intensity=intensity), random.Random(3))
    return replace(made, form=form, meter=4)


def levels(form: Form, n_frames: int, bpm: int = 120, intensity: int = 3) -> list[float]:
    rng = random.Random(1)
    return compose(brief(form, bpm, intensity), n_frames, rng).levels


@pytest.mark.parametrize("intensity", range(4))
@pytest.mark.parametrize("bpm", [62, 120, 160])
def test_up_to_forty_seconds_the_gesture_is_one(bpm: int, intensity: int) -> None:
    n_bars = len(levels("build", 2000, bpm, intensity))
    top, low = float(intensity), max(0.0, intensity - 2.0)
    rise = [low + (top - low) * i / (n_bars - 1) for i in range(n_bars)]
    assert levels("build", 2000, bpm, intensity) == rise
    assert levels("fade", 2000, bpm, intensity) == rise[::-1]
    assert levels("steady", 2000, bpm, intensity) == [top] * n_bars
    half = max(0.0, top - 0.5)
    assert levels("hit", 2000, bpm, intensity) == ([top, half] * n_bars)[:n_bars]


@pytest.mark.parametrize("bpm", [62, 90, 120, 160])
@pytest.mark.parametrize("n_frames", [2300, MINUTES, 5 * MINUTES, 10 * MINUTES])
def test_a_long_build_has_two_waves_and_ends_on_its_height(n_frames: int, bpm: int) -> None:
    made = levels("build", n_frames, bpm)
    n = len(made)
    assert made[0] == 1.0
    assert max(made) == made[-1] == 3.0
    first_climax = max(range(n * 2 // 3), key=lambda i: made[i])
    calm = min(range(first_climax, n), key=lambda i: made[i])
    assert first_climax < calm < n - 1
    assert 0.2 * n < first_climax
    assert made[first_climax] - made[calm] > 0.7
    assert made[first_climax] < 3.0, "the last climax is the highest"
    falls = [i for i, (a, b) in enumerate(pairwise(made)) if b < a]
    assert len(falls) == 1, "from the climax to the calm, all else rises"


def test_a_long_fade_ends_as_quietly_as_it_can() -> None:
    made = levels("fade", 5 * MINUTES)
    assert made[0] == max(made) == 3.0
    assert min(made) == made[-1] < 1.1


@pytest.mark.parametrize("intensity", range(4))
def test_a_long_steady_piece_stays_near_where_it_begins(intensity: int) -> None:
    made = levels("steady", 5 * MINUTES, intensity=intensity)
    assert made[: 30 * 50 // 100] == [float(intensity)] * 15, "the first half minute"
    assert all(intensity - 0.25 <= level <= intensity for level in made)
    assert intensity == 0 or len(set(made)) == 2
    assert made.count(float(intensity)) >= 0.7 * len(made)


def test_long_hits_keep_their_beat() -> None:
    made = levels("hit", 5 * MINUTES)
    assert all(a - b == 0.5 for a, b in zip(made[::2], made[1::2], strict=False))


@pytest.mark.parametrize("form", FORMS)
def test_sections_begin_with_a_phrase(form: Form) -> None:
    made = levels(form, 5 * MINUTES)[:: 2 if form == "hit" else 1]
    step = 0.2 if form in ("build", "fade") else 0.1
    jumps = [i for i, (a, b) in enumerate(pairwise(made), 1) if abs(a - b) > step]
    assert jumps
    assert all(i % (2 if form == "hit" else 4) == 0 for i in jumps)


@pytest.mark.parametrize("form", FORMS)
def test_levels_stay_within_their_range(form: Form) -> None:
    for intensity in range(4):
        for bpm in (60, 166):
            for n_frames in (2001, 2500, 4000, 30000):
                n_bars = -(-n_frames // (4 * brief(form, bpm).frames_per_beat))
                made = form_levels(brief(form, bpm, intensity), n_bars)
                assert len(made) == n_bars
                assert all(0 <= level <= intensity for level in made)
