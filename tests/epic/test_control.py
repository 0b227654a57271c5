"""Tempo, key, chords and form that a caller fixes: read, refused, and kept by the composer."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from fanfare.epic.attributes import MODES, Attributes
from fanfare.epic.chord_chroma import chroma_of
from fanfare.epic.control import (
    MAX_BARS,
    Control,
    describe,
    key_of_chords,
    read_chords,
    read_control,
)
from fanfare.epic.director import direct, write_score
from fanfare.epic.form import shape
from fanfare.epic.layout import LAYOUT_1, LAYOUT_2
from fanfare.epic.score import Score
from fanfare.epic.understand import understand
from fanfare.errors import InputError


def score_of(prompt: str, n_frames: int = 1000, seed: int = 0, **fields: Any) -> Score:
    control = read_control(**fields)
    wanted = control.over(understand(prompt))
    return write_score(wanted, n_frames, random.Random(seed), control)


@pytest.mark.parametrize(
    ("text", "bars"),
    [
        ("Dm | Bb | F | C", ["Dm", "A#", "F", "C"]),
        ("|Dm|Bb|", ["Dm", "A#"]),
        ("Dm Bb F,C Gm7/D", ["Dm", "A#", "F C", "Gm7/D"]),
        ("A:min | F:maj G:7", ["Am", "F G7"]),
        ("Cmaj7 | Esus4 | Bm7b5 | F#dim | Gadd9 | C♯m | Daug", None),
        ("Am | % | F |", ["Am", "Am", "F"]),
    ],
)
def test_chords_are_read_bar_by_bar(text: str, bars: list[str] | None) -> None:
    read = read_chords(text)
    if bars is not None:
        assert [" ".join(describe(chord) for chord in bar) for bar in read] == bars
    else:
        assert [chord.quality for bar in read for chord in bar] == [
            "maj7", "sus4", "half7", "dim", "add9", "min", "aug",
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value", "names"),
    [
        ("chords", "Dm | Hx", "'Hx'"), ("chords", "| |", "first bar"), ("chords", "%", "first bar"),
        ("chords", "C " * (MAX_BARS + 1), "at most"), ("key", "loud", "D minor"),
        ("form", "sonata", "intro"), ("form", "intro | fugue", "'fugue'"), ("bpm", 0, "30"),
        ("bpm", 1000, "30"), ("bpm", float("nan"), "30"),
    ],
)  # fmt: skip
def test_what_cant_be_read_is_refused_by_name(field: str, value: Any, names: str) -> None:
    with pytest.raises(InputError, match=names) as caught:
        read_control(**{field: value})
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("text", "key", "mode", "scale"),
    [
        ("D minor", 2, "minor", None), ("F# dorian", 6, "minor", "dorian"), ("Bb", 10, None, None),
        ("c", 0, None, None), ("Am", 9, "minor", None), ("E♭ major", 3, "major", None),
        ("A harmonic minor", 9, "minor", "harmonic"), ("g mixolydian", 7, "major", "mixolydian"),
    ],
)  # fmt: skip
def test_keys_are_read(text: str, key: int, mode: str | None, scale: str | None) -> None:
    control = read_control(key=text)
    assert (control.key, control.mode, control.scale) == (key, mode, scale)


def test_nothing_fixed_changes_nothing() -> None:
    assert read_control() == read_control(None, "", " ", "") == Control()
    wanted = understand("heroic, D dorian, 100 bpm, building up")
    assert Control().over(wanted) == wanted
    assert (direct("calm", n_frames=200, seed=1) == direct(
        "calm", n_frames=200, seed=1, control=read_control())).all()  # fmt: skip


def test_what_is_fixed_outranks_the_prompt() -> None:
    score = score_of("calm, C major, 70 bpm", bpm=120, key="E phrygian", form="fade")
    assert score.brief.frames_per_beat == 25
    assert (score.brief.key, score.brief.mode, score.brief.scale) == (4, "minor", "phrygian")
    assert score.brief.form == "fade"
    assert score.brief.mood == "calm", "what isn't fixed stays the prompt's"
    assert score_of("sad, in minor", key="D").brief.mode == "minor"


def test_the_chords_written_are_those_played() -> None:
    score = score_of("epic", bpm=120, chords="Dm | Bb | F C | Gm7/D")
    assert (score.brief.key, score.brief.mode) == (2, "minor")
    played = [(c.start, c.root, c.quality, c.bass) for c in score.chords[:6]]
    assert score.frames_per_bar in (75, 100, 50)
    bar = score.frames_per_bar
    assert [p[1:] for p in played] == [
        (2, "min", None), (10, "maj", None), (5, "maj", None), (0, "maj", None),
        (7, "min7", 2), (2, "min", None),
    ]  # fmt: skip
    assert [p[0] for p in played][:3] == [0, bar, 2 * bar]
    assert played[4][0] == 3 * bar
    assert score.chords[-1].end == score.n_frames
    assert all(a.end == b.start for a, b in zip(score.chords, score.chords[1:], strict=False))


@pytest.mark.parametrize(
    ("chords", "key"),
    [
        ("Dm | Bb | F | C", (2, "minor")), ("C | G | Am | F", (0, "major")),
        ("Am | F | C | G", (9, "minor")), ("E | B | C#m | A", (4, "major")),
        ("Gm | Cm | D7 | Gm", (7, "minor")), ("F | Dm | Bb | C7", (5, "major")),
    ],
)  # fmt: skip
def test_chords_tell_their_key(chords: str, key: tuple[int, str]) -> None:
    assert key_of_chords([chord for bar in read_chords(chords) for chord in bar]) == key
    assert key[1] in MODES


def test_parts_shape_the_piece() -> None:
    control = read_control(form="intro | theme | build | climax 8 | break | finale | outro")
    assert [name for name, _ in control.parts] == [
        "intro", "theme", "build", "climax", "break", "climax", "outro",
    ]  # fmt: skip
    assert control.parts[3][1] == 8
    score = score_of("heroic", 3000, form="intro > build > climax > outro", bpm=120)
    assert [section.name for section in score.sections] == ["intro", "build", "climax", "outro"]
    assert score.sections[-1].end == 3000
    levels, parts = shape(score.brief, 16)
    assert len(levels) == len(parts) == 16
    assert max(levels) == levels[parts.index("climax")] == score.brief.intensity
    assert levels[0] < levels[parts.index("climax")] - 1
    assert levels[-1] < levels[parts.index("climax")] - 1


@pytest.mark.parametrize("layout", [LAYOUT_1, LAYOUT_2])
def test_control_reaches_the_plan(layout: Any) -> None:
    control = read_control(bpm=100, chords="A | D")
    plan = direct("heroic", n_frames=400, seed=0, control=control, layout=layout)
    assert plan.shape == (400, layout.n_features)
    assert set(np.flatnonzero(plan[0, layout.slices["chord"]])) == {9, 1, 4}
    assert plan[0, layout.slices["tempo"]][0] == pytest.approx(30 / 25)


def test_audio_keeps_its_own_tempo_and_takes_the_form() -> None:
    t = np.arange(32000 * 4) / 32000
    wav = (0.3 * np.sin(2 * np.pi * 440 * t) * (t % 0.5 < 0.1)).astype(np.float32)
    free = direct("strings", n_frames=600, seed=3, melody=wav)
    fixed = direct("strings", n_frames=600, seed=3, melody=wav, control=read_control(bpm=166))
    assert (free[:, LAYOUT_1.slices["tempo"]] == fixed[:, LAYOUT_1.slices["tempo"]]).all()
    for heard_as in ("melody", "excerpt"):
        audio: dict[str, Any] = {heard_as: wav}
        plan = direct("strings", n_frames=600, seed=3, layout=LAYOUT_2, **audio)
        assert plan.shape == (600, LAYOUT_2.n_features)
        assert np.isfinite(plan).all()


def test_chords_as_chroma_for_models_that_follow_one() -> None:
    control = read_control(bpm=120, chords="C | Am F")
    rows = chroma_of(control, 8, 2.0)
    assert [set(np.flatnonzero(row)) for row in rows] == (
        [{0, 4, 7}] * 4 + [{9, 0, 4}] * 2 + [{5, 9, 0}] * 2
    )
    assert not chroma_of(Control(), 4, 2.0).any()


def test_attributes_of_a_scale_agree_with_their_mode() -> None:
    with pytest.raises(AssertionError):
        Attributes(mode="major", scale="dorian")
