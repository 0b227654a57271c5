"""epic-mini as it ships: it plays, follows its prompt, and keeps its seed."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

import fanfare
from fanfare.audio.loudness import loudness_lufs, peak_dbfs
from fanfare.epic import listen, measure
from fanfare.epic.control import read_control
from fanfare.epic.director import write_score
from fanfare.epic.understand import understand
from fanfare.model import Model
from fanfare.piece import Audio

LOUD = "heroic brass fanfare over pounding taiko, 120 bpm, D minor"
CALM = "calm solo harp, slow, major"
FOLDER = Path(fanfare.__file__).parent / "builtin" / "epic-mini"


@pytest.fixture(scope="module")
def model() -> Model:
    return fanfare.load("epic-mini", device="cpu")


@pytest.fixture(scope="module")
def pieces(model: Model) -> dict[str, Audio]:
    made = model.generate_batch([{"prompt": p, "seed": 7} for p in (LOUD, CALM)])
    return dict(zip((LOUD, CALM), made, strict=True))


def test_the_weights_fit_their_limits() -> None:
    sizes = [file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()]
    assert sum(sizes) <= 40 * 2**20
    assert max(sizes) <= 16 * 2**20


@pytest.mark.parametrize("prompt", [LOUD, CALM])
def test_a_piece_is_whole(pieces: dict[str, Audio], prompt: str) -> None:
    piece = pieces[prompt]
    assert piece.sample_rate_hz == 32000
    assert piece.samples.shape == (1, 8 * 32000)
    assert measure.faults(piece.samples[0], piece.codes) == []
    assert loudness_lufs(piece.samples, 32000) == pytest.approx(-14, abs=1)
    assert peak_dbfs(piece.samples) <= -0.9


def test_prompts_sound_different(pieces: dict[str, Audio]) -> None:
    loud, calm = pieces[LOUD].samples[0], pieces[CALM].samples[0]
    assert low_end(loud) > 3 * low_end(calm), "taiko and bass against a harp"
    assert onsets_per_second(loud) > 1.25 * onsets_per_second(calm)
    assert brightness_hz(loud) > 1.2 * brightness_hz(calm)
    assert abs(range_db(loud) - range_db(calm)) > 1.5


def low_end(wav: np.ndarray) -> float:
    """Share of the power between 15 and 120 Hz."""
    power = (listen.spectrum(wav, listen.SHORT_WINDOW) ** 2).sum(axis=0)
    return float(power[1:8].sum() / power.sum())


def onsets_per_second(wav: np.ndarray) -> float:
    """Attacks that are nearly as strong as the stronger ones, whatever the strongest is."""
    strength = listen.onset_strength(wav)
    middle = strength[1:-1]
    heard = middle > 0.7 * np.percentile(strength, 90)
    peaks = (middle > strength[:-2]) & (middle >= strength[2:]) & heard
    return float(peaks.sum() / (len(wav) / 32000))


def brightness_hz(wav: np.ndarray) -> float:
    """The centroid of the magnitude spectrum."""
    magnitude = listen.spectrum(wav, listen.SHORT_WINDOW).sum(axis=0)
    hz = np.linspace(0, 16000, len(magnitude))
    return float((magnitude * hz).sum() / magnitude.sum())


def range_db(wav: np.ndarray) -> float:
    """Spread of the levels of 0.2-s blocks, from the 10th to the 95th percentile."""
    blocks = wav[: len(wav) // 6400 * 6400].reshape(-1, 6400)
    levels = 10 * np.log10((blocks**2).mean(axis=1) + 1e-12)
    return float(np.percentile(levels, 95) - np.percentile(levels, 10))


def test_it_plays_the_score_that_the_prompt_gives(model: Model) -> None:
    requests = [{"prompt": p, "seed": seed, "duration": 6} for p in (LOUD, CALM) for seed in (1, 3)]
    made = model.generate_batch(requests)
    scores = [
        write_score(understand(str(r["prompt"])), 300, random.Random(int(str(r["seed"]))))
        for r in requests
    ]
    own = [measure.chords_right(a.samples[0], s) for a, s in zip(made, scores, strict=True)]
    others = scores[2:] + scores[:2]
    wrong = [measure.chords_right(a.samples[0], s) for a, s in zip(made, others, strict=True)]
    assert np.mean([x for row in own for x in row]) >= 0.75
    assert np.mean([x for row in wrong for x in row]) <= 0.2


def test_same_seed_same_bytes_other_seed_other_music(model: Model) -> None:
    request = {"prompt": LOUD, "duration": 2}
    first = model.generate(**request, seed=0)
    assert first.seed == 0
    assert first.to_bytes() == model.generate(**request, seed=0).to_bytes()
    other = model.generate(**request, seed=1)
    assert (first.codes != other.codes).mean() > 0.5


def test_it_goes_on_from_an_excerpt_and_follows_a_melody(
    model: Model, pieces: dict[str, Audio], tmp_path: Path
) -> None:
    path = pieces[CALM].save(tmp_path / "calm.wav")
    longer = model.generate(
        prompt="strings",
        input_audio=path,
        continuation=True,
        continuation_end=3,
        duration=2,
        seed=1,
    )
    assert longer.duration_s == pytest.approx(5.0)
    tune = model.generate(prompt="flute and strings", input_audio=path, duration=3, seed=1)
    other = model.generate(prompt="flute and strings", duration=3, seed=1)
    assert (tune.codes != other.codes).any()


def test_it_plays_the_chords_that_are_written(model: Model) -> None:
    fixed = {"bpm": 100, "chords": "Am F C G", "form": "steady"}
    made = model.generate_batch([
        {"prompt": "strings and horns", "seed": seed, "duration": 8, **fixed} for seed in (1, 2)
    ])  # fmt: skip
    score = write_score(
        understand("strings and horns"), 400, random.Random(1), read_control(100, chords="Am F C G")
    )
    assert [(c.root, c.quality) for c in score.chords[:2]] == [(9, "min"), (5, "maj")]
    for piece in made:
        assert np.mean(measure.chords_right(piece.samples[0], score)) >= 0.6


def test_any_length_in_one_go(model: Model) -> None:
    piece = model.generate(prompt="slow strings", duration=31, seed=2)
    assert piece.samples.shape == (1, 31 * 32000)
    score = write_score(understand("slow strings"), 31 * 50, random.Random(2))
    assert measure.faults(piece.samples[0], piece.codes, score) == []
