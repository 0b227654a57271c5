"""What makes it music: themes that come back, voices that move well, climaxes, endings, silence."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from fanfare.epic.attributes import MODE_OF, SCALES, Attributes, Scale
from fanfare.epic.brief import settle
from fanfare.epic.compose import LAST_HELD, compose, ending
from fanfare.epic.director import LONGEST_HELD, write_score
from fanfare.epic.expression import MAX_SHIFT_MS, MIN_SHIFT_MS
from fanfare.epic.harmony import degree, draw_progression, tones_at, voice_lead
from fanfare.epic.layout import LAYOUT_1, LAYOUT_2
from fanfare.epic.material import PROGRESSIONS
from fanfare.epic.plan import plan_of
from fanfare.epic.score import Chord, KeySpan, Note, Score
from fanfare.epic.themes import augmented, fragmented, inverted, make_theme, moved
from fanfare.epic.understand import understand
from fanfare.epic.wishes import wish
from fanfare.epic.writing import Writer


def written(seed: int, n_frames: int = 1500, **fields: Any) -> Score:
    rng = random.Random(seed)
    return compose(settle(Attributes(**fields), rng), n_frames, rng)


def voice(score: Score, role: str) -> list[Note]:
    """The notes of the first instrument of a role, in order."""
    notes = [note for note in score.notes if note.role == role]
    return [note for note in notes if note.instrument == notes[0].instrument]


def theme_writer(**fields: Any) -> Writer:
    return Writer(written(0, 800, **fields), ["theme"] * 8, "s", 800)


def test_numerals_name_chords() -> None:
    assert (degree("bVI").root, degree("bVI").quality) == (8, "maj")
    assert (degree("viio").root, degree("viio").quality) == (11, "dim")
    assert (degree("v/b7").root, degree("v/b7").quality, degree("v/b7").bass) == (7, "min", 10)
    assert degree("V7").quality == "dom7"
    for scale, by_mood in PROGRESSIONS.items():
        for progressions in by_mood.values():
            for text in progressions:
                chords = [degree(numeral) for numeral in text.split()]
                assert len(chords) == 4
                minor = MODE_OF[scale] == "minor"
                assert chords[0].quality == ("min" if minor else "maj"), text


@pytest.mark.parametrize("scale", SCALES)
def test_a_scale_asked_for_is_heard(scale: Scale) -> None:
    """Tones that tell it from the plain scale of its mode are in its chords or its tune."""
    plain = SCALES["aeolian" if MODE_OF[scale] == "minor" else "ionian"]
    telling = set(SCALES[scale]) - set(plain)
    heard = 0
    for seed in range(10):
        score = written(seed, mode=MODE_OF[scale], scale=scale, key=0, intensity=2)
        assert score.keys[0] == KeySpan(0, 1500, 0, scale)
        pitches = {note.pitch % 12 for note in score.notes if note.role in ("pad", "melody", "arp")}
        heard += telling <= pitches
    assert heard >= 8


def test_chords_bend_the_scale_only_where_they_leave_it() -> None:
    key = KeySpan(0, 100, 9, "aeolian")
    assert 8 in tones_at(key, Chord(0, 1, 4, "maj")), "G sharp over E major"
    assert 7 not in tones_at(key, Chord(0, 1, 4, "maj"))
    assert tones_at(key, Chord(0, 1, 5, "maj")) == tuple((9 + t) % 12 for t in SCALES["aeolian"])


def test_voices_move_little_and_not_in_parallel() -> None:
    steps, parallels, n = [], 0, 0
    for seed in range(12):
        rng = random.Random(seed)
        progression = draw_progression("ionian", "heroic", rng) * 2
        chords = [d.chord(0, i, i + 1) for i, d in enumerate(progression)]
        previous: list[int] | None = None
        low = 36 + chords[0].low
        for chord in chords:
            bass = (low, 36 + chord.low)
            tones = voice_lead(chord.pitch_classes, previous, 60, bass=bass)
            assert {t % 12 for t in tones} == set(chord.pitch_classes)
            if previous is not None:
                steps += [abs(a - b) for a, b in zip(previous, tones, strict=True)]
                moves = [(previous[i], tones[i]) for i in range(3)] + [bass]
                for i, (a, a_now) in enumerate(moves):
                    for b, b_now in moves[i + 1 :]:
                        same = (a - b) % 12 == (a_now - b_now) % 12 and (a - b) % 12 in (0, 7)
                        parallels += a != a_now and same
                        n += 1
            previous, low = tones, 36 + chord.low
    assert sum(steps) / len(steps) < 2.5
    assert parallels <= 0.04 * n


def test_themes_have_a_motif_that_comes_back() -> None:
    for seed in range(20):
        writer = theme_writer(mood="heroic", meter=(3, 4, 6)[seed % 3])
        theme = make_theme(writer, random.Random(seed))
        bar = writer.brief.beats_per_bar
        assert theme.beats == 4 * bar
        for phrase in (theme.question, theme.answer):
            assert sum(t.duration for t in phrase) <= theme.beats + 1e-6
            ends = [t.start + t.duration for t in phrase]
            assert all(b.start >= end - 1e-6 for end, b in zip(ends, phrase[1:], strict=False))
        rhythms = [
            tuple(round(t.duration, 3) for t in theme.answer
                  if i * bar <= t.start + 1e-6 < (i + 1) * bar)
            for i in range(4)
        ]  # fmt: skip
        if theme.question[0].start == 0:  # else the first bar lacks its beginning
            assert max(Counter(rhythms).values()) >= 2
        assert theme.answer[-1].degree in (0, 2), "an answer comes home"
        assert [t.start for t in theme.question] == [t.start for t in theme.answer]


def test_motifs_are_developed() -> None:
    theme = make_theme(theme_writer(mood="heroic", meter=4), random.Random(4))
    phrase = theme.question
    assert [t.degree for t in inverted(inverted(phrase))] == [t.degree for t in phrase]
    assert all(b.degree - a.degree == 2 for a, b in zip(phrase, moved(phrase, 2), strict=True))
    slow = augmented(phrase, theme.beats)
    assert slow[0].duration == 2 * phrase[0].duration
    assert max(t.start + t.duration for t in slow) <= theme.beats
    pieces = fragmented(phrase, theme.beats)
    head = [t.degree for t in phrase if t.start < 4]
    assert [t.degree for t in pieces][: 2 * len(head)] == head + [d + 1 for d in head]


def test_melodies_move_by_steps_and_leave_room_to_breathe() -> None:
    moves: list[int] = []
    held = 0.0
    for seed in range(30):
        score = written(seed, mood="adventurous", intensity=2)
        tune = voice(score, "melody")
        moves += [abs(a.pitch - b.pitch) for a, b in pairwise(tune)]
        held += sum(note.length for note in tune) / score.n_frames / 30
    assert sum(move == 0 for move in moves) < 0.25 * len(moves)
    assert sum(move <= 4 for move in moves) > 0.6 * len(moves)
    assert sum(move > 12 for move in moves) < 0.02 * len(moves)
    assert 0.6 < held < 0.99


def test_a_counter_melody_keeps_out_of_the_tunes_way() -> None:
    seen, crossed, against, along = 0, 0, 0, 0
    for seed in range(60):
        score = written(seed, mood="heroic", intensity=3, form="steady")
        counter, tune = ([n for n in score.notes if n.role == r] for r in ("counter", "melody"))
        if not counter or not tune:
            continue
        seen += 1
        first = [n for n in counter if n.instrument == counter[0].instrument]
        assert len({n.pitch for n in first}) > 2
        for a, b in pairwise(first):
            above = [n.pitch for n in tune if n.start <= b.start < n.start + n.length]
            before = [n.pitch for n in tune if n.start <= a.start < n.start + n.length]
            if above and before and a.pitch != b.pitch and above[0] != before[0]:
                same = (b.pitch > a.pitch) == (above[0] > before[0])
                along, against = along + same, against + (not same)
                crossed += b.pitch > max(above) >= 60
    assert seen >= 10
    assert against > along
    assert crossed < 0.2 * (against + along)


def test_a_build_gathers_players_and_strikes_at_its_height() -> None:
    struck, grew = 0, 0
    for seed in range(20):
        score = written(seed, 2400, mood="heroic", intensity=3, form="build", bpm=100.0)
        climax = next(s for s in score.sections if s.name == "climax")
        early = {n.instrument for n in score.notes if n.start < score.sections[0].end}
        late = {n.instrument for n in score.notes if climax.start <= n.start < climax.end}
        grew += len(late) > len(early)
        struck += any(n.start == climax.start and n.role in ("drum", "effect") for n in score.notes)
    assert grew >= 18
    assert struck >= 16


def test_effects_lead_to_the_climax_and_strike_there() -> None:
    named = ("riser", "impact", "sub_drop", "reverse", "whoosh", "braam")
    score = written(3, 2400, mood="dark", intensity=3, form="build", instruments=named)
    climax = next(s for s in score.sections if s.name == "climax").start
    effects = {n.instrument: n for n in score.notes if n.role == "effect"}
    assert set(effects) == set(named)
    for name in ("riser", "reverse", "whoosh"):
        assert effects[name].start + effects[name].length == climax, name
    for name in ("impact", "sub_drop"):
        assert any(n.start == climax and n.instrument == name for n in score.notes), name


def test_there_are_silences_before_climaxes() -> None:
    silent = 0
    for seed in range(30):
        score = written(seed, 2000, mood="tense", intensity=3, form="build")
        climax = next(s for s in score.sections if s.name == "climax").start
        pause = range(climax - score.brief.frames_per_beat, climax)
        heard = [
            n for n in score.notes
            if n.role != "effect" and n.start < pause.stop and n.start + n.length > pause.start
        ]  # fmt: skip
        silent += not heard
    assert 6 <= silent <= 24, "some, not all"


def test_endings_differ() -> None:
    """A quiet piece dies away; a driven one is held or struck and left to ring."""
    calm = written(1, mood="calm")
    assert calm.gain_at("pad", calm.n_frames) < 0.5 * calm.gain_at("pad", calm.n_frames // 2)
    rings, holds = 0, 0
    for seed in range(30):
        score = written(seed, mood="heroic", intensity=3, form="steady")
        sounding = any(
            n.start + n.length > score.n_frames - 10 for n in score.notes
            if n.role not in ("drum", "effect")
        )  # fmt: skip
        rings, holds = rings + (not sounding), holds + sounding
        assert (score.chords[-1].root - score.keys[-1].tonic) % 12 == 0
    assert rings >= 3
    assert holds >= 10


@pytest.mark.parametrize("seconds", [8, 10, 15])
def test_last_chords_do_not_stand_for_long(seconds: int) -> None:
    n_frames, asked, free = 50 * seconds, [], []
    for prompt in ("calm solo harp, slow, major", "sad strings", "dark choir, building"):
        wanted = understand(prompt)
        for seed in range(12):
            brief = write_score(wanted, n_frames, random.Random(seed)).brief
            held = n_frames - ending(brief, n_frames)
            if wanted.bpm is None:
                free.append(held)
            else:  # a tempo that is asked for is kept
                assert abs(brief.bpm / wanted.bpm - 1) < 0.04
                asked.append(held - brief.frames_per_bar)
    assert max(asked) < LAST_HELD, "beyond a bar"
    assert np.mean(np.array(free) <= LONGEST_HELD) > 0.9
    assert np.mean(free) > 50, "there are endings"


def test_pieces_may_be_lifted_into_another_key() -> None:
    lifted = 0
    for seed in range(40):
        score = written(seed, 4000, mood="heroic", form="build", intensity=3)
        assert score.keys[0].start == 0
        assert score.keys[-1].end == score.n_frames
        if len(score.keys) == 2:
            lifted += 1
            assert score.keys[0].end == score.keys[1].start
            new = score.keys[1]
            before = next(c for c in score.chords if c.end == new.start)
            assert (before.root - new.tonic) % 12 == 7, "by way of its dominant"
            assert score.chords[-1].root == new.tonic
    assert 5 <= lifted <= 25
    assert all(
        len(written(s, 4000, mood="heroic", form="build", key=2).keys) == 1 for s in range(9)
    )


def test_six_eight_has_two_beats_of_three() -> None:
    score = written(2, mood="adventurous", meter=6, intensity=2, bpm=80.0)
    assert score.brief.frames_per_beat == 38
    assert score.frames_per_bar == 76
    third = 76 / 6
    on_eighths = [
        abs(n.start % 76 / third - round(n.start % 76 / third)) < 0.06
        for n in score.notes if n.role in ("arp", "pad", "bass")
    ]  # fmt: skip
    assert sum(on_eighths) > 0.95 * len(on_eighths)
    quick = settle(Attributes(meter=6, bpm=150.0), random.Random(0))
    assert quick.bpm == pytest.approx(100, rel=0.03), "quarters of 6/8"


def test_texture_is_kept() -> None:
    for seed in range(20):
        few = written(seed, texture="chamber", mood="romantic").brief.ensemble
        assert len(few.pitched) <= 5
        assert not few.drums
        assert not few.effects
        solo = written(seed, texture="solo", instruments=("cello",))
        assert {n.instrument for n in solo.notes} == {"cello"}
    full = [written(s, texture="full", mood="heroic").brief for s in range(20)]
    assert all(brief.intensity >= 2 for brief in full)
    assert sum(len(b.ensemble.pitched) + len(b.ensemble.drums) for b in full) / 20 > 7


def test_wishes_are_granted() -> None:
    """Who is named plays, nobody else where only they are wanted, and nobody waits for long."""
    kit = {"taiko_low": "taiko", "taiko_high": "taiko", "taiko_ensemble": "taiko"}
    for seed in range(300):
        rng = random.Random(seed)
        wanted = wish(rng)
        score = compose(settle(wanted, rng), 500, rng)
        played = {kit.get(note.instrument, note.instrument) for note in score.notes}
        assert played >= set(wanted.instruments), (seed, wanted)
        assert not played & set(wanted.without), seed
        if wanted.only:
            assert played == set(wanted.instruments), seed
        assert min(note.start for note in score.notes) <= 50, seed


def test_players_are_human_but_the_plan_is_exact() -> None:
    score = written(5, mood="romantic", intensity=1)
    shifts = [note.shift_ms for note in score.notes]
    assert all(MIN_SHIFT_MS <= shift <= MAX_SHIFT_MS for shift in shifts)
    assert len(set(shifts)) > 10
    assert all(note.shift_ms >= 0 for note in score.notes if note.start == 0)
    stiff = replace(score, notes=[replace(note, shift_ms=0.0) for note in score.notes])
    assert (plan_of(stiff) == plan_of(score)).all()


def test_expression_swells_and_stays_in_bounds() -> None:
    for seed in range(20):
        score = written(seed)
        for role, curve in score.curves.items():
            frames = [frame for frame, _ in curve]
            assert frames == sorted(set(frames)), role
            assert all(0.2 <= gain <= 1.0 for _, gain in curve)
        gains = [score.gain_at("melody", frame) for frame in range(0, score.n_frames, 10)]
        assert max(gains) > 1.1 * min(gains)


@pytest.mark.parametrize("n_frames", [25, 50, 75, 120, 200, 350, 3000])
def test_any_length_can_be_composed(n_frames: int) -> None:
    for seed in range(12):
        for meter in (3, 4, 6):
            score = written(seed, n_frames, meter=meter)
            assert score.chords[0].start == 0
            assert score.chords[-1].end == n_frames
            assert all(a.end == b.start for a, b in pairwise(score.chords))
            assert score.sections[-1].end == n_frames
            assert all(n.start >= 0 and n.start + n.length <= n_frames for n in score.notes)
            assert plan_of(score, (LAYOUT_1, LAYOUT_2)[seed % 2]).shape[0] == n_frames
