"""Attributes → brief → score: complete, in range, in time, and repeatable."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from fanfare.epic.attributes import (
    EFFECTS,
    FORMS,
    INSTRUMENTS,
    MOODS,
    PITCHED,
    SCALES,
    Attributes,
    Mood,
)
from fanfare.epic.brief import frames_per_beat, settle
from fanfare.epic.compose import compose
from fanfare.epic.corpus import piece
from fanfare.epic.harmony import fold, nearest, voice_lead
from fanfare.epic.palette import VOICES
from fanfare.epic.score import DRUMS, Chord
from fanfare.epic.wishes import wish


def test_the_same_seed_gives_the_same_score_and_another_seed_another() -> None:
    assert piece(5) == piece(5)
    assert piece(5).notes != piece(6).notes


def test_what_is_asked_for_is_kept() -> None:
    wanted = Attributes(
        bpm=120, key=2, mode="minor", mood="heroic", intensity=3, form="build", meter=3
    )
    brief = settle(wanted, random.Random(0))
    assert (brief.frames_per_beat, brief.key, brief.mode) == (25, 2, "minor")
    assert (brief.mood, brief.intensity, brief.form, brief.meter) == ("heroic", 3, "build", 3)
    assert brief.bpm == 120


@pytest.mark.parametrize("bpm", range(60, 167))
def test_tempi_lie_within_four_per_cent_of_what_was_asked(bpm: int) -> None:
    assert abs(3000 / frames_per_beat(bpm) / bpm - 1) < 0.04


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_a_named_instrument_plays(name: str) -> None:
    for seed in range(5):
        rng = random.Random(seed)
        score = compose(settle(Attributes(instruments=(name,), intensity=2), rng), 768, rng)
        played = {
            note.instrument.removesuffix("_low").removesuffix("_high") for note in score.notes
        }
        assert name in played, seed


@pytest.mark.parametrize("name", PITCHED)
def test_only_means_only(name: str) -> None:
    rng = random.Random(1)
    score = compose(settle(Attributes(instruments=(name,), only=True), rng), 500, rng)
    assert {note.instrument for note in score.notes} == {name}


def test_without_means_without() -> None:
    drums = ("taiko", "timpani", "snare", "cymbals")
    for seed in range(30):
        rng = random.Random(seed)
        brief = settle(Attributes(mood="heroic", without=(*drums, "brass", "choir")), rng)
        played = {note.instrument for note in compose(brief, 500, rng).notes}
        assert not played & {*DRUMS, "brass", "choir"}, seed


@pytest.mark.parametrize("seed", range(40))
def test_every_score_is_playable(seed: int) -> None:
    rng = random.Random(seed)
    n_frames = rng.choice((50, 137, 400, 1500))
    score = compose(settle(wish(rng), rng), n_frames, rng)
    assert score.notes
    for note in score.notes:
        assert 0 <= note.start < n_frames
        assert 0 < note.length <= n_frames - note.start
        assert 0 < note.velocity <= 1
        if note.instrument in VOICES:
            assert VOICES[note.instrument].low <= note.pitch <= VOICES[note.instrument].high
        else:
            assert note.instrument in (EFFECTS if note.role == "effect" else DRUMS)
    assert score.chords[0].start == 0
    assert score.chords[-1].end == n_frames
    for before, after in zip(score.chords, score.chords[1:], strict=False):
        assert before.end == after.start


def test_harmony_stays_in_the_key_and_ends_on_the_tonic() -> None:
    wanted = Attributes(key=9, mode="major", mood="hopeful")
    for seed in range(10):
        rng = random.Random(seed)
        score = compose(settle(wanted, rng), 768, rng)
        assert (score.chords[-1].root, score.chords[-1].quality) == (9, "maj")
        scale = {(9 + step) % 12 for step in SCALES["ionian"]} | {(9 + 10) % 12}  # borrowed bVII
        assert {chord.root for chord in score.chords} <= scale


def test_forms_shape_the_intensity() -> None:
    levels = {}
    for form in FORMS:
        rng = random.Random(3)
        brief = replace(settle(Attributes(bpm=120, intensity=3), rng), form=form, meter=4)
        levels[form] = compose(brief, 1000, rng).levels
    assert levels["build"] == sorted(levels["build"])
    assert levels["build"][-1] - levels["build"][0] >= 2
    assert levels["fade"] == levels["build"][::-1]
    assert len(set(levels["steady"])) == 1


def test_moods_sound_different() -> None:
    """Calm pieces have fewer and softer notes than heroic ones."""

    def energy(mood: str) -> float:
        total = 0.0
        for seed in range(12):
            rng = random.Random(seed)
            brief = settle(Attributes(mood=mood), rng)  # type: ignore[arg-type]
            total += sum(note.velocity for note in compose(brief, 500, rng).notes)
        return total

    assert energy("calm") < 0.5 * energy("heroic")
    assert set(MOODS) >= {"calm", "heroic"}


@pytest.mark.parametrize("mood", MOODS)
def test_a_tempo_asked_for_is_beaten_throughout(mood: Mood) -> None:
    for seed in range(4):
        wanted = Attributes(bpm=70, mood=mood, intensity=seed % 4, form="steady")
        brief = settle(wanted, random.Random(seed))
        score = compose(brief, 500, random.Random(seed))
        struck = {note.start for note in score.notes}
        held_from = len(score.levels) * score.frames_per_bar - 2 * score.frames_per_bar
        beats = range(0, held_from, brief.frames_per_beat)
        assert sum(beat in struck for beat in beats) >= 0.75 * len(beats), (mood, seed)
    left_open = settle(replace(wanted, bpm=None), random.Random(0))
    assert not left_open.pulse


def test_given_chords_are_used() -> None:
    rng = random.Random(0)
    chords = [Chord(0, 200, 0, "maj"), Chord(200, 400, 5, "maj")]
    score = compose(settle(Attributes(intensity=2), rng), 400, rng, chords)
    assert score.chords == chords


def test_small_helpers() -> None:
    assert fold(20, 36, 60) == 44
    assert nearest(61, (0, 4, 7)) == 60
    first = voice_lead((0, 4, 7), None, 60)
    second = voice_lead((5, 9, 0), first, 60)
    assert sum(abs(a - b) for a, b in zip(first, second, strict=True)) <= 6
