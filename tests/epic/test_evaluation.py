"""Measures, probes and captions: they tell right from wrong."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fanfare.epic import ear, evaluate, measure, probes, rhythm
from fanfare.epic.attributes import INSTRUMENTS, MOODS, Attributes
from fanfare.epic.captions import caption
from fanfare.epic.corpus import piece
from fanfare.epic.pictures import compare
from fanfare.epic.score import Score
from fanfare.epic.understand import understand

RATE = 32000


def sketch(score: Score) -> NDArray[np.float32]:
    """A score as plain decaying sines: enough to hear its chords and onsets."""
    wav = np.zeros(score.n_frames * 640, np.float32)
    for note in score.notes:
        n = min(note.length * 640, len(wav) - note.start * 640)
        t = np.arange(n) / RATE
        if note.role == "drum":
            tone = np.random.default_rng(0).normal(0, 1, n) * np.exp(-30 * t)
        else:
            tone = np.sin(2 * np.pi * 440 * 2 ** ((note.pitch - 69) / 12) * t) * np.exp(-1.5 * t)
        wav[note.start * 640 : note.start * 640 + n] += 0.05 * note.velocity * tone
    return wav


@pytest.fixture(scope="module")
def scores() -> list[Score]:
    return [piece(seed, 400) for seed in range(24)]


@pytest.fixture(scope="module")
def wavs(scores: list[Score]) -> list[NDArray[np.float32]]:
    return [sketch(score) for score in scores]


def test_chords_and_onsets_fit_their_own_score(
    scores: list[Score], wavs: list[NDArray[np.float32]]
) -> None:
    right = [x for s, w in zip(scores, wavs, strict=True) for x in measure.chords_right(w, s)]
    shuffled = zip(scores[1:] + scores[:1], wavs, strict=True)
    wrong = [x for s, w in shuffled for x in measure.chords_right(w, s)]
    assert np.mean(right) > 0.6
    assert np.mean(wrong) < 0.3
    own = np.mean([measure.onset_agreement(w, s) for s, w in zip(scores, wavs, strict=True)])
    others = zip(scores[1:] + scores[:1], wavs, strict=True)
    assert own > 0.3 + np.mean([measure.onset_agreement(w, s) for s, w in others])


def test_faults_are_found() -> None:
    good = np.random.default_rng(0).normal(0, 0.1, RATE).astype(np.float32)
    codes = np.random.default_rng(0).integers(0, 1024, (4, 50))
    assert measure.faults(good, codes) == []
    assert measure.faults(good * 0, codes) == ["silent"]
    assert measure.faults(np.sign(good), codes) == ["clipped"]
    assert measure.faults(good, np.ones((4, 50), np.int64)) == ["stuck"]
    assert measure.repetition(np.ones((4, 50), np.int64)) > 0.9
    assert measure.repetition(codes) < 0.1


def test_distances(wavs: list[NDArray[np.float32]]) -> None:
    rows = [measure.colour_rows(wav) for wav in wavs]
    near = measure.frechet(rows[::2], rows[1::2])
    noise = [
        measure.colour_rows(np.random.default_rng(i).normal(0, 0.1, 8 * RATE).astype(np.float32))
        for i in range(12)
    ]
    assert measure.frechet(rows[::2], noise) > 3 * near
    assert measure.si_sdr_db(wavs[0], wavs[0]) > 60
    assert measure.si_sdr_db(wavs[1], wavs[0]) < 5


def test_probes_learn(scores: list[Score], wavs: list[NDArray[np.float32]], tmp_path: Path) -> None:
    scores, wavs = scores[:12], wavs[:12]
    heard = [probes.features(wav) for wav in wavs]
    truths = [probes.truth(s.brief, {n.instrument for n in s.notes}) for s in scores]
    judge = probes.Probes()
    judge.fit(heard, truths, [ear.playing(score) for score in scores], 150, 150)
    guesses = judge.hear(heard)
    pairs = list(zip(guesses, truths, strict=True))
    assert np.mean([probes.tempo_agrees(g.tempo, t.tempo) for g, t in pairs]) > 0.8
    assert np.mean([g.intensity == t.intensity for g, t in pairs]) > 0.8
    said, plays = (np.array([t.instruments for t in ts]) for ts in (guesses, truths))
    assert (said & plays).sum() / plays.sum() > 0.8
    assert (said & plays).sum() / said.sum() > 0.8
    judge.save(tmp_path / "judges.safetensors")
    kept = probes.Probes.load(tmp_path / "judges.safetensors").hear(heard)
    same = [
        (g.tempo, g.key, g.mood) == (k.tempo, k.key, k.mood)
        for g, k in zip(guesses, kept, strict=True)
    ]
    assert np.mean(same) > 0.9  # kept as half floats
    assert list(tmp_path.iterdir()) == [tmp_path / "judges.safetensors"]


def test_who_plays_is_told_by_the_moment() -> None:
    score = piece(3, 200)
    plays = ear.playing(score)
    assert plays.shape == (100, len(INSTRUMENTS))
    named = [note for note in score.notes if ear.sounding(note.instrument) in INSTRUMENTS]
    assert len(named) > 20
    for note in named:
        assert plays[note.start // 2, INSTRUMENTS.index(ear.sounding(note.instrument))]
    silent = replace(score, notes=[])
    assert not ear.playing(silent).any()


def test_strokes_are_heard_as_their_instruments(scores: list[Score]) -> None:
    heard = probes.truth(scores[0].brief, {"taiko_ensemble", "cymbal_swell", "harp"}).instruments
    names = [name for name, plays in zip(INSTRUMENTS, heard, strict=True) if plays]
    assert sorted(names) == ["cymbals", "harp", "taiko"]


def test_a_click_beats_at_its_own_tempo() -> None:
    wav = np.zeros(10 * RATE, np.float32)
    wav[:: 24 * 640] = 0.5
    wav = np.convolve(wav, np.hanning(64), "same").astype(np.float32)
    own, other = list(rhythm.PERIODS).index(24), list(rhythm.PERIODS).index(29)
    at_a_beat = rhythm.MULTIPLES.index(1)
    table = rhythm.comb(wav)
    assert table.shape == (len(rhythm.PERIODS), rhythm.N_FEATURES)
    assert table[own, at_a_beat] > 0.8
    assert table[other, at_a_beat] < 0.1


def test_captions_say_what_is_wanted() -> None:
    for seed in range(60):
        rng = random.Random(seed)
        wanted = evaluate.ask(rng)
        prompt = caption(wanted, rng)
        if wanted.bpm is not None:
            assert str(round(wanted.bpm)) in prompt
        assert understand(prompt).mood in MOODS
    assert all(
        understand(caption(Attributes(), random.Random(i))) == Attributes() for i in range(9)
    )


def test_bar_lines_lie_inside() -> None:
    case = evaluate.cases(1, seed=3)[0]
    bar = case.score.brief.frames_per_bar
    assert list(evaluate.bars(case))[:2] == [bar, 2 * bar]
    assert max(evaluate.bars(case)) < case.score.n_frames


def test_evaluation_from_prompts_to_table(
    wavs: list[NDArray[np.float32]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = evaluate.cases(6, seed=1)
    assert [c.prompt for c in made] == [c.prompt for c in evaluate.cases(6, seed=1)]
    for case in made:
        wav = sketch(case.score)
        case.wavs = {"original": wav, "codec": wav, "generated": wav[::-1].copy()}
        case.codes = np.random.default_rng(0).integers(0, 1024, (4, 500))
    judge = probes.Probes()
    truths = [probes.truth(c.score.brief, {n.instrument for n in c.score.notes}) for c in made]
    heard = [probes.features(c.wavs["original"]) for c in made]
    judge.fit(heard, truths, [ear.playing(c.score) for c in made], 30, 30)
    result = evaluate.summary(made, judge, [measure.colour_rows(wav) for wav in wavs[:6]])
    original, generated = result["original"], result["generated"]
    assert isinstance(original, dict)
    assert isinstance(generated, dict)
    assert original["onsets"] > generated["onsets"]
    assert result["attributes understood"] > 0.8
    assert "| chord |" in evaluate.table(result)
    evaluate.pictures(made[:1], tmp_path / "pictures")
    assert list((tmp_path / "pictures").glob("*.png"))
    compare({"one": wavs[0]}, "title <b>", tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 5000
