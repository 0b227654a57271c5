"""Inherit: a language model begins with what one of another plan layout has learned.

F, G features of the old and of the new layout, D model width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from fanfare.epic.layout import Layout
from fanfare.nn.conditioning import PlanEncoder
from fanfare.nn.lm import LanguageModel


@dataclass(frozen=True)
class Start:
    """A trained language model, the layout of its plans, and how long it was trained."""

    lm: LanguageModel
    layout: Layout
    after: str = ""


@torch.no_grad()
def inherit(model: LanguageModel, old: LanguageModel, before: Layout, after: Layout) -> None:
    """Gives `model`, whose plan is standardised already, all weights of `old`.

    A feature that both layouts have goes on meaning what it meant; an instrument or stroke that is
    new begins as the nearest one that was there, anything else as nothing.

    Raises:
        ValueError: the models differ in more than their plans.
    """
    kept = {name: tensor for name, tensor in old.state_dict().items() if not _is_of_plan(name)}
    own = {name: tensor for name, tensor in model.state_dict().items() if not _is_of_plan(name)}
    for name in sorted({*kept, *own}):
        if name not in kept or name not in own or kept[name].shape != own[name].shape:
            raise ValueError(f"the model to begin with differs in {name}")
    model.load_state_dict(kept, strict=False)
    there, here = old.plan, model.plan
    assert there is not None, old.config
    assert here is not None, model.config
    if there.context != here.context:
        raise ValueError("the model to begin with sees other frames of its plan")
    _inherit_plan(here, there, origins(before, after))


def _is_of_plan(name: str) -> bool:
    return name.startswith("plan.") and not name.startswith(("plan.linear2.", "plan.null_vector"))


def _inherit_plan(here: PlanEncoder, there: PlanEncoder, origin: list[int | None]) -> None:
    """The first layer gives for new standardised features what it gave for the old ones."""
    n_frames = 2 * here.context + 1
    old = there.linear1.weight.float().view(-1, n_frames, len(there.mean))  # [D, frames, F]
    new = old.new_zeros(len(old), n_frames, len(origin))  # [D, frames, G]
    per_unit = old / there.std
    bias = there.linear1.bias.float() - (per_unit * there.mean).sum(dim=(1, 2))
    for i, j in enumerate(origin):
        if j is not None:
            new[:, :, i] = per_unit[:, :, j] * here.std[i]
            bias += per_unit[:, :, j].sum(dim=1) * here.mean[i]
    here.linear1.weight.copy_(new.flatten(1))
    here.linear1.bias.copy_(bias)


def origins(before: Layout, after: Layout) -> list[int | None]:
    """For every feature of the new layout, the one of the old layout that it begins as."""
    made: list[int | None] = [None] * after.n_features
    for name, there in before.slices.items():
        here = after.slices[name]
        for i, j in enumerate(_within(name, before, after)):
            made[here.start + i] = None if j is None else there.start + j
    return made


def _within(name: str, before: Layout, after: Layout) -> list[int | None]:
    """The same inside one group: old place of each new one."""
    n_old, n_new = before.groups[name], after.groups[name]
    if name == "instruments":
        return [before.voice(one) for one in after.pitched]
    if name == "drums":
        return [before.stroke(one) for one in after.strokes]
    if name == "onsets":
        return [_place(before.onsets, one) for one in after.onsets]
    if name == "mask":
        return [_place(before.masked, one) for one in after.masked]
    if name == "time":  # a sine and a cosine for each unit of time, then an onset for each
        old, new = n_old // 3, n_new // 3
        phases = [i if i < 2 * old else None for i in range(2 * new)]
        return phases + [2 * old + i if i < old else None for i in range(new)]
    return [i if i < n_old else None for i in range(n_new)]


def _place(names: tuple[str, ...], name: str) -> int | None:
    return names.index(name) if name in names else None
