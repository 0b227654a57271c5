"""Trials tell smooth joints from clicks, one tune from another, copies from inventions."""

from __future__ import annotations

import numpy as np

from fanfare.epic import trials
from fanfare.epic.handwritten import HANDWRITTEN

RATE = 32000


def tone(pitch: int, seconds: float = 1.0) -> np.ndarray:
    t = np.arange(int(seconds * RATE)) / RATE
    hz = 440 * 2 ** ((pitch - 69) / 12)
    return sum(np.sin(2 * np.pi * hz * k * t) / k**2 for k in (1, 2, 3)).astype(np.float32) * 0.1


def test_a_joint_that_clicks_stands_out() -> None:
    rng = np.random.default_rng(0)
    wav = (tone(60, 8.0) + rng.normal(0, 0.002, 8 * RATE)).astype(np.float32)
    assert trials.seam(wav, 200) < 0.99
    wav[4 * RATE : 4 * RATE + 20] += 0.8
    assert trials.seam(wav, 200) > 0.97


def test_a_tune_agrees_with_itself_alone() -> None:
    tune = np.concatenate([tone(p, 0.5) for p in (60, 62, 64, 67, 64, 62)])
    other = np.concatenate([tone(p, 0.5) for p in (66, 68, 70, 61, 70, 68)])
    assert trials.melody_agreement(tune, 0.5 * tune) > 0.9
    assert trials.melody_agreement(tune, other) < 0.3


def test_what_grows_louder_drifts() -> None:
    wav = tone(60, 6.0)
    assert abs(trials.drift_db(wav)) < 0.5
    wav[4 * RATE :] *= 2
    assert trials.drift_db(wav) > 5


def test_copies_are_known_again() -> None:
    rng = np.random.default_rng(0)
    taught = [rng.integers(0, 1024, (4, 100)) for _ in range(3)]
    copy = np.concatenate([rng.integers(0, 1024, (4, 50)), taught[1][:, 20:70]], axis=1)
    found = trials.memory([copy], [rng.integers(0, 1024, (4, 100))], taught)
    assert 0.35 < found["memory: generated"] < 0.6
    assert found["memory: held out"] == 0


def test_distance_of_mel_spectra() -> None:
    assert trials.log_mel_l1(tone(60), tone(60)) == 0
    assert trials.log_mel_l1(tone(60), tone(67)) > 0.1


def test_prompts_by_hand_are_mostly_understood() -> None:
    assert len(HANDWRITTEN) == 40
    right, total = trials.understood_by_hand()
    assert right / total > 0.85
