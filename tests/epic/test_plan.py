"""Score → plan: features stand at the frames where things happen."""

from __future__ import annotations

import numpy as np

from fanfare.epic.attributes import PITCHED
from fanfare.epic.corpus import piece
from fanfare.epic.plan import (
    GROUPS,
    MASKED,
    N_FEATURES,
    ONSET_ORDER,
    Grid,
    lean,
    plan_of,
    write_time,
)


def test_groups_cover_all_features_once() -> None:
    covered = [i for group in GROUPS.values() for i in range(group.start, group.stop)]
    assert covered == list(range(N_FEATURES))


def test_notes_chords_and_onsets_stand_where_the_score_has_them() -> None:
    for seed in range(8):
        score = piece(seed, 400)
        plan = plan_of(score)
        assert plan.shape == (400, N_FEATURES)
        assert np.isfinite(plan).all()
        for chord in score.chords:
            row = plan[chord.start, GROUPS["chord"]]
            assert set(np.flatnonzero(row)) == set(chord.pitch_classes)
        for note in score.notes:
            if note.role == "drum":
                continue
            playing = plan[note.start, GROUPS["instruments"]]
            assert playing[PITCHED.index(note.instrument)] >= note.velocity - 1e-6
            onset = plan[note.start, GROUPS["onsets"]][ONSET_ORDER.index(note.role)]
            assert onset >= note.velocity - 1e-6


def test_beats_fall_on_their_frames() -> None:
    plan = np.zeros((200, N_FEATURES), np.float32)
    write_time(plan, Grid(25, 4))
    onsets = plan[:, GROUPS["time"]][:, 6:]
    assert np.flatnonzero(onsets[:, 1]).tolist() == list(range(0, 200, 25))
    assert np.flatnonzero(onsets[:, 2]).tolist() == [0, 100]
    assert len(np.flatnonzero(onsets[:, 0])) == 16


def test_a_shifted_grid_shifts_the_beats() -> None:
    plan = np.zeros((120, N_FEATURES), np.float32)
    write_time(plan, Grid(30, 4, offset=7))
    assert np.flatnonzero(plan[:, GROUPS["time"]][:, 7]).tolist() == [7, 37, 67, 97]


def test_what_is_left_out_is_zero_and_marked() -> None:
    plan = plan_of(piece(3, 300))
    for name in MASKED:
        without = lean(plan, [name])
        mask = without[:, GROUPS["mask"]]
        assert (mask[:, MASKED.index(name)] == 1).all()
        assert mask.sum() == len(plan)
        if name != "frames":
            assert not without[:, GROUPS[name]].any()
    whole = lean(plan, ["frames"])[:, GROUPS["instruments"]]
    assert (whole == whole[0]).all()
    assert whole.any()
    assert not plan[:, GROUPS["mask"]].any(), "the plan itself must stay as it was"
