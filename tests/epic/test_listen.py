"""Audio → beat, key, chords, melody, on sounds made here."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fanfare.epic import listen
from fanfare.epic.director import direct, hear
from fanfare.epic.plan import GROUPS, MASKED, N_FEATURES

RATE = listen.SAMPLE_RATE_HZ
MASK = GROUPS["mask"]


def tones(pitches: list[int], seconds: float) -> NDArray[np.float32]:
    """Decaying harmonic tones."""
    t = np.arange(int(seconds * RATE)) / RATE
    wav = np.zeros_like(t)
    for pitch in pitches:
        hz = 440 * 2 ** ((pitch - 69) / 12)
        for harmonic, level in ((1, 1.0), (2, 0.5), (3, 0.25)):
            wav += level * np.sin(2 * np.pi * hz * harmonic * t)
    return (0.1 * wav * np.exp(-2 * t)).astype(np.float32)


@pytest.fixture(scope="module")
def march() -> NDArray[np.float32]:
    """A minor, F, C, G, a chord a bar, at 120 bpm: eight seconds with an accent on each bar."""
    bars = []
    for chord in ([57, 60, 64], [53, 57, 60], [48, 52, 55], [55, 59, 62]):
        beats = [tones(chord, 0.5) * (1.5 if beat == 0 else 1.0) for beat in range(4)]
        bars.append(np.concatenate(beats))
    return np.concatenate(bars).astype(np.float32)


def test_beat_chords_and_key_of_a_march(march: NDArray[np.float32]) -> None:
    heard = hear(march)
    assert heard.n_frames == 400
    assert heard.grid.frames_per_beat in (25.0, 50.0)
    assert [(c.root, c.quality) for c in heard.chords if c.end - c.start > 50] == [
        (9, "min"), (5, "maj"), (0, "maj"), (7, "maj"),
    ]  # fmt: skip
    assert (heard.key, heard.mode) in ((9, "minor"), (0, "major"))


@pytest.mark.parametrize("period", [20, 25, 30, 37, 44])
def test_the_period_and_phase_of_pulses(period: int) -> None:
    onsets = np.zeros(500, np.float32)
    onsets[7::period] = 1
    grid = listen.beat_grid(onsets)
    assert min(abs(grid.frames_per_beat / period - r) for r in (0.5, 1, 2)) < 0.02
    assert min((grid.offset - 7) % period, (7 - grid.offset) % period) <= 1


@pytest.mark.parametrize("pitch", [57, 60, 64, 69, 76])
def test_a_tune_is_heard(pitch: int) -> None:
    wav = np.concatenate([tones([pitch], 0.5), tones([pitch + 4], 0.5)])
    longest = sorted(listen.melody_of(wav), key=lambda n: n.start - n.end)[:2]
    assert sorted(note.pitch for note in longest) == [pitch, pitch + 4]


@pytest.mark.parametrize("n", [0, 1, 500, 16000])
def test_silence_and_scraps_are_no_error(n: int) -> None:
    heard = hear(np.zeros(max(n, 1), np.float32))
    assert np.isfinite(heard.level)
    assert heard.chords[0].start == 0


def test_a_melody_replaces_tune_and_chords(march: NDArray[np.float32]) -> None:
    plan = direct("calm flute", n_frames=500, seed=1, melody=march)
    other = direct("calm flute", n_frames=500, seed=1)
    assert plan.shape == other.shape == (500, N_FEATURES)
    assert set(np.flatnonzero(plan[30, GROUPS["chord"]])) == {9, 0, 4}
    assert set(np.flatnonzero(plan[430, GROUPS["chord"]])) == {9, 0, 4}, "it is repeated"
    assert plan[:, GROUPS["melody"]].any()
    assert not np.array_equal(plan, other)


def test_an_excerpt_is_masked_and_gone_on_from(march: NDArray[np.float32]) -> None:
    plan = direct("huge brass", n_frames=700, seed=1, excerpt=march)
    assert (plan[:400, MASK].sum(axis=1) == len(MASKED)).all()
    assert not plan[400:, MASK].any()
    tempo = plan[:, GROUPS["tempo"]]
    assert tempo.min() == tempo.max() > 0
    beats = np.flatnonzero(plan[:, GROUPS["time"]][:, 7])
    assert set(np.diff(beats)) <= {round(float(tempo[0, 0]) * 25)}, (
        "the beat goes on over the joint"
    )


def test_an_excerpt_as_long_as_the_piece() -> None:
    plan = direct("", n_frames=30, seed=1, excerpt=tones([60], 1.0))
    assert plan.shape == (30, N_FEATURES)


def test_plans_depend_on_prompt_and_seed_alone() -> None:
    first = direct("heroic brass, 120 bpm", n_frames=300, seed=4)
    assert np.array_equal(first, direct("heroic brass, 120 bpm", n_frames=300, seed=4))
    assert not np.array_equal(first, direct("heroic brass, 120 bpm", n_frames=300, seed=5))
    assert not np.array_equal(first, direct("calm harp, 70 bpm", n_frames=300, seed=4))
