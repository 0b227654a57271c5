"""A language model of a new plan layout begins as the old one was."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fanfare.epic.corpus import piece
from fanfare.epic.inherit import inherit, origins
from fanfare.epic.layout import LAYOUT_1, LAYOUT_2, Layout
from fanfare.epic.plan import plan_of
from fanfare.epic.score import Score
from fanfare.epic.train_lm import LmRecipe, lm_config
from fanfare.nn.lm import LanguageModel

TINY = LmRecipe(n_codebooks=2, dim=16, n_layers=1, n_heads=2, past_context=24)


def model(layout: Layout, recipe: LmRecipe = TINY) -> LanguageModel:
    """With random weights, and means and deviations of its own."""
    made = LanguageModel(lm_config(recipe, layout))
    made.initialise()
    assert made.plan is not None
    torch.nn.init.normal_(made.plan.mean)
    torch.nn.init.uniform_(made.plan.std, 0.5, 2.0)
    return made


def plain(seed: int) -> Score:
    """A score of which both layouts say the same: triads, no two voices of one feature."""
    score = piece(seed, 100)
    known = (*LAYOUT_1.pitched, *LAYOUT_1.strokes)
    notes = [n for n in score.notes if n.instrument in known and n.role != "counter"]
    return replace(score, notes=notes)


@pytest.mark.parametrize("seed", range(3))
def test_what_both_layouts_say_is_heard_as_before(seed: int) -> None:
    torch.manual_seed(seed)
    old, new = model(LAYOUT_1), model(LAYOUT_2)
    inherit(new, old, LAYOUT_1, LAYOUT_2)
    assert old.plan is not None
    assert new.plan is not None
    plans = [plan_of(plain(seed), layout) for layout in (LAYOUT_1, LAYOUT_2)]
    place = LAYOUT_1.slices["chord"]
    plans[1][:, LAYOUT_2.slices["chord"]] = plans[0][:, place]  # sevenths are news
    heard = [
        one.plan(torch.from_numpy(plan)[None])
        for one, plan in zip((old, new), plans, strict=True)
        if one.plan is not None
    ]
    assert plans[0].any()
    torch.testing.assert_close(heard[1], heard[0], atol=1e-4, rtol=1e-4)
    codes = torch.randint(1024, (1, 2, 30))
    torch.testing.assert_close(
        new(codes, frames=heard[0][:, :30]), old(codes, frames=heard[0][:, :30])
    )


def test_a_new_instrument_begins_as_the_nearest() -> None:
    origin = origins(LAYOUT_1, LAYOUT_2)
    assert len(origin) == LAYOUT_2.n_features
    at = LAYOUT_2.slices["instruments"].start + LAYOUT_2.pitched.index("viola")
    assert origin[at] == LAYOUT_1.slices["instruments"].start + LAYOUT_1.pitched.index("violin")
    assert origin[LAYOUT_2.slices["metre"]] == [None] * 3
    kept = {j for j in origin if j is not None}
    assert kept == set(range(LAYOUT_1.n_features))


def test_another_size_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"differs in emb\.0"):
        inherit(
            model(LAYOUT_2, replace(TINY, dim=24, n_heads=2)), model(LAYOUT_1), LAYOUT_1, LAYOUT_2
        )
