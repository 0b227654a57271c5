"""Score → plan: features stand at the frames where things happen, in every layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fanfare.epic.attributes import PITCHED
from fanfare.epic.corpus import piece
from fanfare.epic.layout import LAYOUT_1, LAYOUT_2, Layout
from fanfare.epic.plan import Grid, lean, plan_of, write_time
from fanfare.epic.score import Brief, Chord, Ensemble, KeySpan, Note, Score

both = pytest.mark.parametrize("layout", [LAYOUT_1, LAYOUT_2], ids=["first", "second"])
FIRST, SECOND = LAYOUT_1.slices, LAYOUT_2.slices


def score_of(*notes: Note, meter: int = 4, **more: Any) -> Score:
    """Two hundred frames in D minor."""
    brief = Brief(30, 2, "minor", "dark", 2, "steady", meter, Ensemble(), scale="dorian")
    return Score(brief, 200, [2.0] * 2, [Chord(0, 200, 2, "min7")], list(notes), **more)


@both
def test_groups_cover_all_features_once(layout: Layout) -> None:
    covered = [i for group in layout.slices.values() for i in range(group.start, group.stop)]
    assert covered == list(range(layout.n_features))


def test_the_first_layout_is_that_of_the_first_weights() -> None:
    assert LAYOUT_1.n_features == 106
    assert (FIRST["instruments"].start, FIRST["drums"].start, FIRST["mask"].start) == (67, 89, 99)
    assert Layout.from_json(None) == LAYOUT_1


@both
def test_a_layout_is_kept_beside_the_weights(layout: Layout) -> None:
    assert Layout.from_json(layout.to_json()) == layout


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("groups", {"chord": 13}), ("groups", {"unheard": 3}), ("groups", None), ("strokes", None),
        ("pitched", ["harp"]),
    ],
)  # fmt: skip
def test_a_layout_that_cant_be_written_is_refused(name: str, value: object) -> None:
    kept = LAYOUT_2.to_json()
    kept[name] = {**kept[name], **value} if isinstance(value, dict) else value
    with pytest.raises(ValueError, match="the weights' plan"):
        Layout.from_json(kept)


@both
def test_notes_chords_and_onsets_stand_where_the_score_has_them(layout: Layout) -> None:
    slices = layout.slices
    for seed in range(8):
        score = piece(seed, 400)
        plan = plan_of(score, layout)
        assert plan.shape == (400, layout.n_features)
        assert np.isfinite(plan).all()
        for chord in score.chords:
            tones = set(np.flatnonzero(plan[chord.start, slices["chord"]]))
            assert tones >= set(chord.triad_classes if chord.plain else (chord.root,))
        for note in score.notes:
            if note.role in ("drum", "effect"):
                continue
            index = layout.voice(note.instrument)
            assert index is not None
            assert plan[note.start, slices["instruments"]][index] >= note.velocity - 1e-6
            role = note.role if note.role in layout.onsets else "pad"
            onset = plan[note.start, slices["onsets"]][layout.onsets.index(role)]
            assert onset >= note.velocity - 1e-6


def test_what_a_layout_lacks_is_told_by_what_is_nearest() -> None:
    score = score_of(
        Note(0, 50, 40, 0.8, "bass", "tuba"),
        Note(50, 50, 70, 0.6, "counter", "viola"),
        Note(100, 40, 38, 0.9, "effect", "braam"),
        Note(100, 10, 0, 0.7, "effect", "impact"),
        Note(150, 50, 36, 0.7, "effect", "whoosh"),
        Note(20, 10, 0, 0.5, "drum", "taiko_ensemble"),
        Note(20, 10, 0, 0.5, "drum", "anvil"),
    )
    old = plan_of(score)
    players, strokes = old[:, FIRST["instruments"]], old[:, FIRST["drums"]]
    assert players[10, PITCHED.index("trombone")] == np.float32(0.8)
    assert players[60, PITCHED.index("violin")] == np.float32(0.6)
    assert players[110, PITCHED.index("brass")] == np.float32(0.9)
    assert np.flatnonzero(strokes[20]).tolist() == [0], "one stroke; nothing for an anvil"
    assert np.flatnonzero(strokes[100]).tolist() == [5]
    assert not strokes[150:].any()
    new = plan_of(score, LAYOUT_2)
    braam = new[:, SECOND["effects"]][100:140, :2]
    assert braam[0, 1] == np.float32(0.9)
    assert (np.diff(braam[:, 0]) > 0).all()
    assert braam[-1, 0] == 1
    assert new[60, SECOND["counter"]][70 % 12] == np.float32(0.6)


@both
def test_beats_fall_on_their_frames(layout: Layout) -> None:
    plan = np.zeros((200, layout.n_features), np.float32)
    write_time(plan, Grid(25, 4), layout)
    n_units = layout.groups["time"] // 3
    onsets = plan[:, layout.slices["time"]][:, 2 * n_units :]
    assert np.flatnonzero(onsets[:, 1]).tolist() == list(range(0, 200, 25))
    assert np.flatnonzero(onsets[:, 2]).tolist() == [0, 100]
    assert len(np.flatnonzero(onsets[:, 0])) == 16


def test_a_shifted_grid_shifts_the_beats() -> None:
    plan = np.zeros((120, LAYOUT_1.n_features), np.float32)
    write_time(plan, Grid(30, 4, offset=7))
    assert np.flatnonzero(plan[:, FIRST["time"]][:, 7]).tolist() == [7, 37, 67, 97]


def test_compound_time_is_three_quarters_to_those_who_know_no_better() -> None:
    score = score_of(meter=6)
    old, new = plan_of(score), plan_of(score, LAYOUT_2)
    assert np.flatnonzero(old[:, FIRST["time"]][:, 6]).tolist() == list(range(0, 200, 10))
    assert np.flatnonzero(old[:, FIRST["time"]][:, 7]).tolist() == list(range(0, 200, 20))
    assert np.flatnonzero(old[:, FIRST["time"]][:, 8]).tolist() == [0, 60, 120, 180]
    assert np.flatnonzero(new[:, SECOND["time"]][:, 9]).tolist() == list(range(0, 200, 30))
    assert np.flatnonzero(new[:, SECOND["time"]][:, 10]).tolist() == [0, 60, 120, 180]
    assert new[0, SECOND["metre"]].tolist() == [0, 0, 1]


def test_keys_and_expression_are_told() -> None:
    keys = [KeySpan(0, 100, 2, "dorian"), KeySpan(100, 200, 4, "aeolian")]
    curves = {"pad": ((0, 0.5), (100, 1.0))}
    plan = plan_of(
        score_of(Note(0, 200, 62, 0.8, "pad", "strings"), keys=keys, curves=curves), LAYOUT_2
    )
    scale = plan[:, SECOND["scale"]]
    assert scale[0, 2] == scale[150, 4] == 1
    assert scale[0, 11] == 0.5, "B natural is dorian"
    assert scale[150, 11] == 0.5
    assert not scale[150, [1, 3]].any()
    loud = plan[:, SECOND["loud"]][:, 0]
    assert loud[0] == pytest.approx(0.4)
    assert loud[50] == pytest.approx(0.6)
    assert loud[199] == pytest.approx(0.8)


def test_sevenths_are_told_where_there_is_room() -> None:
    score = score_of()
    assert set(np.flatnonzero(plan_of(score)[0, FIRST["chord"]])) == {2, 5, 9}
    assert set(np.flatnonzero(plan_of(score, LAYOUT_2)[0, SECOND["chord"]])) == {2, 5, 9, 0}


@both
def test_what_is_left_out_is_zero_and_marked(layout: Layout) -> None:
    plan = plan_of(piece(3, 300), layout)
    slices = layout.slices
    for name in layout.masked:
        without = lean(plan, [name], layout)
        mask = without[:, slices["mask"]]
        assert (mask[:, layout.masked.index(name)] == 1).all()
        assert mask.sum() == len(plan)
        if name != "frames":
            assert not without[:, slices[name]].any()
    whole = lean(plan, ["frames"], layout)[:, slices["instruments"]]
    assert (whole == whole[0]).all()
    assert whole.any()
    assert not plan[:, slices["mask"]].any(), "the plan itself must stay as it was"
