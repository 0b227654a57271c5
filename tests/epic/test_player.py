"""Scores become sound: in tune, as long and as loud as written, and the same every time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from fanfare.epic.bank import Bank, Region, made
from fanfare.epic.effects import effects
from fanfare.epic.percussion import strokes
from fanfare.epic.player import CEILING, LEVELS_DBFS, Player, hall, master
from fanfare.epic.score import Brief, Chord, Ensemble, Note, Score
from fanfare.epic.voices import voices

RATE = 32000


@pytest.fixture(scope="module")
def bank() -> Bank:
    """Sines: a looped one for horns, one that ends for harps, noise for a cymbal."""
    t = np.arange(RATE, dtype=np.float32) / RATE
    sine = np.sin(2 * np.pi * 440 * t).astype(np.float32)
    loop = Region(0, 127, 0, 8000, RATE, 69.0, loop_start=4000.0, release_s=0.1)
    ends = Region(0, 127, 0, RATE, RATE, 69.0, release_s=0.1)
    crash = made(np.random.default_rng(0).normal(0, 0.2, RATE).astype(np.float32))
    small = Bank(sine, {"horn": (loop,), "harp": (ends,)}).with_sounds({"cymbals": [crash]})
    return small.with_sounds({**strokes(small), **effects(small)})


def write(*notes: Note, n_frames: int = 200, intensity: int = 2) -> Score:
    """A score of these notes."""
    brief = Brief(25, 0, "minor", "calm", intensity, "steady", 4, Ensemble())
    return Score(brief, n_frames, [2.0] * 4, [Chord(0, n_frames, 0, "min")], list(notes))


def note(pitch: int = 69, start: int = 20, length: int = 100, role: str = "melody") -> Note:
    return Note(start, length, pitch, 0.8, role, "horn")  # type: ignore[arg-type]


def hz_of(wav: np.ndarray) -> float:
    """The strongest frequency."""
    spectrum = np.abs(np.fft.rfft(wav * np.hanning(len(wav)), 1 << 18))
    return float(spectrum.argmax() * RATE / (1 << 18))


@pytest.mark.parametrize(("pitch", "hz"), [(69, 440.0), (57, 220.0), (76, 659.26)])
def test_notes_are_in_tune_through_their_loops(bank: Bank, pitch: int, hz: float) -> None:
    wav = Player(bank).render(write(note(pitch)))
    assert wav.shape == (200 * 640,)
    assert hz_of(wav[30 * 640 : 110 * 640]) == pytest.approx(hz, rel=1e-3)


def test_a_note_sounds_when_it_is_written_and_the_hall_after_it(bank: Bank) -> None:
    wav = Player(bank).render(write(note(start=50, length=20)))
    assert np.abs(wav[: 50 * 640 - 400]).max() < 1e-3
    during, after = wav[55 * 640 : 65 * 640].std(), wav[90 * 640 : 100 * 640].std()
    assert 0.003 < after / during < 0.3


def test_articulation_and_timing_are_heard(bank: Bank) -> None:
    plain = note(start=50, length=20)
    legato, late = replace(plain, articulation="legato"), replace(plain, shift_ms=20.0)
    made_ = [voices(write(n), bank).wholes[0] for n in (plain, legato, late)]
    start, count = 1, 2
    assert made_[1][count] - made_[0][count] == RATE // 20
    assert made_[2][start] - made_[0][start] == 640


def test_expression_shapes_what_is_held_and_nothing_else(bank: Bank) -> None:
    held = write(note(start=0, length=200))
    held.curves = {"melody": ((0, 0.2), (199, 1.0))}
    wav = Player(bank).render(held)
    assert wav[20 * 640 : 40 * 640].std() < 0.6 * wav[150 * 640 : 170 * 640].std()
    struck = write(replace(note(start=0, length=200), instrument="harp"))
    plain = Player(bank).render(struck)
    struck.curves = held.curves
    np.testing.assert_array_equal(Player(bank).render(struck), plain)


def test_voices_in_groups_sound_as_one_by_one(bank: Bank) -> None:
    score = write(
        *(note(60 + i, start=5 * i, length=10 + 9 * i) for i in range(12)),
        Note(40, 10, 0, 0.9, "drum", "taiko_low"),
        Note(60, 90, 38, 0.9, "effect", "braam"),
        Note(100, 60, 36, 0.9, "effect", "riser"),
        replace(note(start=100), instrument="harp"),
    )
    alone, grouped = Player(bank), Player(bank)
    grouped.together = True
    one = voices(score, bank)
    np.testing.assert_allclose(
        alone.play([one])[0].numpy(), grouped.play([one])[0].numpy(), atol=2e-5
    )
    other = voices(write(note(64)), bank)
    both = grouped.play([one, other])
    np.testing.assert_allclose(both[1].numpy(), alone.play([other])[0].numpy(), atol=2e-5)


def test_what_rises_ends_where_it_is_written(bank: Bank) -> None:
    wav = Player(bank).render(write(Note(20, 100, 36, 0.9, "effect", "riser")))
    thirds = [wav[(20 + 33 * i) * 640 : (53 + 33 * i) * 640].std() for i in range(3)]
    assert thirds == sorted(thirds)
    assert wav[150 * 640 :].std() < 0.2 * thirds[2]


def test_every_stroke_and_effect_is_heard_and_finite(bank: Bank) -> None:
    for name, regions in bank.sounds.items():
        for region in regions:
            wav = bank.samples[region.start : region.start + region.length]
            assert np.isfinite(wav).all(), name
            assert 0.3 < np.abs(wav).max() <= 1.0, name


def test_unknown_sounds_are_left_out(bank: Bank) -> None:
    assert len(voices(write(replace(note(), instrument="tuba")), bank).wholes) == 0
    assert not Player(bank).render(write()).any()


def test_pieces_are_mastered_to_their_level_and_nothing_passes_the_ceiling() -> None:
    noise = torch.randn(4, 3 * RATE, generator=torch.Generator().manual_seed(0)) * 0.01
    loud = master(noise, torch.tensor(LEVELS_DBFS))
    levels = 20 * loud.pow(2).mean(dim=1).sqrt().log10()
    torch.testing.assert_close(levels, torch.tensor(LEVELS_DBFS), atol=0.7, rtol=0)
    noise[:, 1000] = 300.0
    assert master(noise, torch.tensor(LEVELS_DBFS)).abs().max() <= CEILING
    assert master(torch.zeros(1, RATE), torch.tensor([-16.0])).isfinite().all()


def test_the_hall_dies_away() -> None:
    response = hall()
    energies = [part.sum() for part in np.array_split(response**2, 4)]
    assert energies == sorted(energies, reverse=True)
    assert (response**2).sum() == pytest.approx(1, rel=1e-4)
