"""Trains epic-mini's language model on codes and the plans they were rendered from.

It runs on a team of CPU processes or on a GPU. Groups of the plan are left out at random, so that
one model takes full plans (a composed score), lean ones (chords and beat only) and what can be
heard in a recording; a tenth of the excerpts get no plan at all, which is what guidance departs
from. Hidden matrices are trained with Muon, the rest with AdamW.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fanfare.epic.clock import Deadline
from fanfare.epic.inherit import Start, inherit
from fanfare.epic.layout import LAYOUT_2, Layout
from fanfare.epic.losses import averages, cosine
from fanfare.epic.optimizers import Optimizers
from fanfare.epic.pool import Encode
from fanfare.epic.team import Team
from fanfare.epic.train_quantizer import CODEBOOK_SIZE
from fanfare.nn.conditioning import align_frames
from fanfare.nn.config import LmConfig
from fanfare.nn.delay import DelayPattern
from fanfare.nn.lapped import LappedCodec
from fanfare.nn.lm import LanguageModel

DROP_PROBABILITY = {
    "bass": 0.12, "melody": 0.25, "counter": 0.25, "arp": 0.25, "drums": 0.2, "effects": 0.2,
    "onsets": 0.3, "instruments": 0.08, "frames": 0.3, "loud": 0.3, "scale": 0.3,
}  # fmt: skip
"""How often a group is left out of a plan that isn't whole."""


@dataclass(frozen=True)
class LmRecipe:
    """How the language model is trained; as for the codec, the schedule follows the clock.

    Attributes:
        batch, crop_frames: excerpts a step, over the whole team, and their length. No longer than
            the model's window, they train nearly twice as fast as longer ones.
        late_share: last part of the run, with excerpts twice as long and half as many, so that the
            model gets to know what slides out of its window.
        full_probability: share of excerpts that get the whole plan.
        null_probability: share that get none.
        temperatures: at which each book of the finished model is drawn when temperature 1 is asked
            for; its heads are divided by them.
    """

    minutes: float = 55.0
    n_codebooks: int = 6
    dim: int = 256
    n_layers: int = 6
    n_heads: int = 4
    past_context: int = 256
    batch: int = 16
    crop_frames: int = 256
    late_share: float = 0.25
    adam_lr: float = 1.2e-3
    muon_lr: float = 0.008
    null_probability: float = 0.1
    full_probability: float = 0.5
    temperatures: tuple[float, ...] = (0.8, 0.7, 0.6, 0.5, 0.5, 0.5)
    refresh_steps: int = 4
    figures_steps: int = 50
    gate_minutes: float = 2.0
    checkpoint_minutes: float = 3.0
    seed: int = 0


class Codes(Protocol):
    """Codes int16 [S, K, T] beside plans float16 [S, T, F]; the first `n_filled` pieces count."""

    @property
    def codes(self) -> Tensor:
        """[S, K, T]."""

    @property
    def plans(self) -> Tensor:
        """[S, T, F]."""

    @property
    def n_filled(self) -> int:
        """Pieces that are there."""

    def refresh(self, at_most: int = 1) -> None:
        """Brings new pieces, if there are some."""


@dataclass(frozen=True)
class Fixed:
    """Pieces that stay what they are."""

    codes: Tensor
    plans: Tensor

    @property
    def n_filled(self) -> int:
        """All of them."""
        return len(self.codes)

    def refresh(self, at_most: int = 1) -> None:
        """There are no others."""


def lm_config(recipe: LmRecipe, layout: Layout = LAYOUT_2) -> LmConfig:
    """Rotary positions and a sliding window, so that a piece may be of any length."""
    return LmConfig(
        n_codebooks=recipe.n_codebooks, card=CODEBOOK_SIZE, dim=recipe.dim,
        n_heads=recipe.n_heads, n_layers=recipe.n_layers, ffn_dim=4 * recipe.dim,
        delays=tuple(range(recipe.n_codebooks)), positions="rope",
        past_context=recipe.past_context, plan_features=layout.n_features, max_duration_s=600.0,
    )  # fmt: skip


class LmTrainer:
    """One language model in training; a team's members hold the same weights at every step.

    Without data it can only be restored and finished.
    """

    def __init__(
        self,
        recipe: LmRecipe,
        data: Codes | None,
        team: Team | None = None,
        *,
        device: torch.device | str = "cpu",
        layout: Layout = LAYOUT_2,
        start: Start | None = None,
    ) -> None:
        """`start`: whose weights the model begins with."""
        torch.manual_seed(recipe.seed)
        self.recipe, self.data, self.layout = recipe, data, layout
        self.device, self.team = torch.device(device), team or Team()
        self.model = LanguageModel(lm_config(recipe, layout))
        self.model.initialise()
        self.model.to(self.device)
        if data is not None:
            self._scale_inputs(data)
        if start is not None:
            inherit(self.model, start.lm, start.layout, layout)
        self.forward = torch.compile(self.model, dynamic=False)
        self.optimizers = Optimizers(
            self.model, is_hidden, muon_lr=recipe.muon_lr, adam_lr=recipe.adam_lr,
            betas=(0.9, 0.95),
        )  # fmt: skip
        self.average = [p.detach().clone() for p in self.model.parameters()]
        self.pattern = DelayPattern(self.model.config.delays, self.model.config.special_token)
        self.step, self.started_step, self.spent_s = 0, 0, 0.0
        self.last_gate: dict[str, float] = {}

    def _scale_inputs(self, data: Codes) -> None:
        """Standardises the plan; brings token embeddings to unit scale, the plan to about 0.5."""
        plan = self.model.plan
        assert plan is not None
        known = data.plans[: data.n_filled]
        rows = known[:: max(len(known) // 200, 1)].float().to(self.device)
        plan.mean.copy_(rows.mean(dim=(0, 1)))
        plan.std.copy_(rows.flatten(0, 1).std(dim=0).clamp(min=0.1))
        for embedding in self.model.emb:
            nn.init.normal_(embedding.get_parameter("weight"), std=0.5)
        nn.init.normal_(plan.null_vector, std=0.1)

    @property
    def is_done(self) -> bool:
        """Whether its minutes are over."""
        return self.spent_s >= self.recipe.minutes * 60

    def train(
        self, checkpoint: Path, heldout: Codes, deadline: Deadline | None = None
    ) -> Iterator[dict[str, float]]:
        """Trains by the clock, yielding figures and, every few minutes, the gate's."""
        if checkpoint.exists():
            self.restore(checkpoint)
        data, deadline = self.data, deadline or Deadline()
        assert data is not None
        rng = np.random.default_rng((self.recipe.seed, self.step, self.team.rank))
        if not self.is_done:
            self._step(data, rng)  # compiles; not on the clock
        last = saved = gated = time.monotonic()
        while not self.is_done and not self.team.leaders(float(deadline.has_come)):
            if self.step % self.recipe.refresh_steps == 0:
                data.refresh()
            books = self._step(data, rng)
            if self.step % self.recipe.figures_steps == 0:
                shown = [
                    float(v) for v in books
                ]  # waits for the device, or the clock would run ahead
            now = time.monotonic()
            self.spent_s = self.team.leaders(self.spent_s + now - last)
            last = now
            if not self.team.leads:
                continue
            if self.step % self.recipe.figures_steps == 0:
                yield {
                    "step": self.step, "minutes": self.spent_s / 60,
                    **{f"book{k}": v for k, v in enumerate(shown)},
                }  # fmt: skip
            if now - gated > self.recipe.gate_minutes * 60:
                yield {"step": self.step, "minutes": self.spent_s / 60, **self.gate(heldout)}
                gated = last = time.monotonic()
            if now - saved > self.recipe.checkpoint_minutes * 60:
                self.save(checkpoint)
                saved = last = time.monotonic()
        if self.team.leads:
            self.last_gate = self.gate(heldout, n_pieces=64)
            self.save(checkpoint)
            yield {"step": self.step, "minutes": self.spent_s / 60, **self.last_gate}

    def _step(self, data: Codes, rng: np.random.Generator) -> Tensor:
        done = self.spent_s / max(self.recipe.minutes * 60, 1e-9)
        warm = min(1.0, (self.step - self.started_step + 1) / 60)
        self.optimizers.begin(warm * (0.02 + 0.98 * cosine(done)))
        late = done > 1 - self.recipe.late_share
        n_rows = max(self.recipe.batch // self.team.size // (2 if late else 1), 1)
        n_frames = self.recipe.crop_frames * (2 if late else 1)
        codes, plans, null = batch(data, rng, self.recipe, n_rows, n_frames, self.layout)
        codes, plans, null = (x.to(self.device) for x in (codes, plans, null))
        books = self.losses(codes, plans, null, compiled=True)
        books.mean().backward()
        self.team.average(list(self.model.parameters()))
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizers.step()
        self.step += 1
        decay = min(0.998, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, list(self.model.parameters()), 1 - decay)
        return books.detach()

    def losses(
        self, codes: Tensor, plans: Tensor, null: Tensor, *, compiled: bool = False
    ) -> Tensor:
        """Cross-entropy of each book [K] in nats, for codes [B, K, T] and plans [B, T, F].

        Rows where `null` [B] is true get the null plan.
        """
        T = codes.shape[2]
        delayed = self.pattern.build(codes)[:, :, : T + 1]  # [B, K, S]; T columns to predict
        encoder = self.model.plan
        assert encoder is not None
        with torch.autocast(self.device.type, torch.bfloat16):
            frames = encoder(plans)  # [B, T, D]
            frames = torch.where(null[:, None, None], encoder.null(len(codes), T), frames)
            model = self.forward if compiled else self.model
            logits = model(delayed[:, :, :T], frames=align_frames(frames, T))  # [B, K, T, card]
        targets = delayed[:, :, 1:]
        flat = F.cross_entropy(
            logits.flatten(0, 2).float(), targets.flatten(), reduction="none",
            ignore_index=self.model.config.special_token,
        ).view(targets.shape)  # fmt: skip
        known = targets != self.model.config.special_token
        return flat.sum(dim=(0, 2)) / known.sum(dim=(0, 2))

    @torch.no_grad()
    def gate(self, heldout: Codes, n_pieces: int = 16) -> dict[str, float]:
        """Held-out cross-entropy with the right plan, and how much worse the null plan does.

        The error is the gap's standard error over pieces.
        """
        gaps, right_books = [], []
        T = min(2 * self.recipe.crop_frames, heldout.codes.shape[2])
        for i in range(min(n_pieces, heldout.n_filled)):
            codes = heldout.codes[i : i + 1, :, :T].long().to(self.device)
            plans = heldout.plans[i : i + 1, :T].float().to(self.device)
            right, null = (
                self.losses(codes, plans, torch.tensor([is_null], device=self.device))
                for is_null in (False, True)
            )
            right_books.append(right)
            gaps.append((null - right)[0].item())
        books = torch.stack(right_books).mean(dim=0)
        return {
            **{f"heldout_book{k}": float(v) for k, v in enumerate(books)},
            "gap": float(np.mean(gaps)), "gap_error": float(np.std(gaps) / math.sqrt(len(gaps))),
        }  # fmt: skip

    def finished(self) -> LanguageModel:
        """The model with averaged weights, its heads divided by their temperatures."""
        with torch.no_grad():
            for parameter, average in zip(self.model.parameters(), self.average, strict=True):
                parameter.copy_(average)
            for head, temperature in zip(self.model.heads, self.recipe.temperatures, strict=False):
                head.get_parameter("weight").div_(temperature)
        return self.model.eval()

    def save(self, path: Path) -> None:
        """Writes a checkpoint."""
        state: dict[str, Any] = {
            "model": self.model.state_dict(), "average": self.average,
            "names": [name for name, _ in self.model.named_parameters()],
            "optimizers": self.optimizers.state(),
            "step": self.step, "spent_s": self.spent_s, "gate": self.last_gate,
        }  # fmt: skip
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def restore(self, path: Path) -> None:
        """Goes on from a checkpoint."""
        state = torch.load(path, weights_only=True, map_location=self.device)
        self.model.load_state_dict(state["model"])
        self.average = averages(state, list(self.model.parameters()))
        self.step, self.spent_s = state["step"], state["spent_s"]
        self.last_gate = state.get("gate", {})
        if "optimizers" not in state:
            self.started_step = self.step  # the optimisers have to get warm again
            return
        self.optimizers.restore(state["optimizers"])


def is_hidden(name: str, parameter: Tensor) -> bool:
    """Whether Muon trains it: the matrices inside the transformer's layers."""
    return parameter.dim() == 2 and name.startswith("layers.")


def batch(
    data: Codes, rng: np.random.Generator, recipe: LmRecipe, B: int, T: int, layout: Layout
) -> tuple[Tensor, Tensor, Tensor]:
    """Random excerpts: codes [B, K, T], plans [B, T, F] with groups left out, null flags [B]."""
    device, longest = data.codes.device, data.codes.shape[2]
    rows = rng.integers(data.n_filled, size=B)
    starts = np.where(rng.random(B) < 0.4, 0, rng.integers(longest - T + 1, size=B))
    if device.type == "cpu":
        pairs = list(zip(rows.tolist(), starts.tolist(), strict=True))
        codes = torch.stack([data.codes[i, :, start : start + T] for i, start in pairs])
        plans = torch.stack([data.plans[i, start : start + T] for i, start in pairs])
    else:
        at = torch.from_numpy(rows).to(device)[:, None]
        frames = torch.from_numpy(starts).to(device)[:, None] + torch.arange(T, device=device)
        codes = data.codes[at, :, frames].transpose(1, 2)
        plans = data.plans[at, frames]
    dropped = np.zeros((B, len(layout.masked)), bool)
    odds = np.array([DROP_PROBABILITY[name] for name in layout.masked])
    is_lean = rng.random(B) > recipe.full_probability
    dropped[is_lean] = rng.random((int(is_lean.sum()), len(odds))) < odds
    null = torch.from_numpy(rng.random(B) < recipe.null_probability)
    return codes.long(), leaned(plans.float(), torch.from_numpy(dropped), layout), null


def leaned(plans: Tensor, dropped: Tensor, layout: Layout) -> Tensor:
    """Plans [B, T, F] without the groups flagged in `dropped` [B, masked]: `plan.lean` for many."""
    dropped, plans = dropped.to(plans.device), plans.clone()
    onsets = plans[..., layout.slices["onsets"]]
    for i, name in enumerate(layout.masked):
        gone = dropped[:, i, None, None]
        if name == "frames":
            # Dropped instruments are gone already: "instruments" comes first.
            part = plans[..., layout.slices["instruments"]]
            part.copy_(torch.where(gone, part.amax(dim=1, keepdim=True), part))
        else:
            plans[..., layout.slices[name]] *= ~gone
        if name in layout.onsets:
            onsets[..., layout.onsets.index(name)] *= ~gone[..., 0]
    plans[..., layout.slices["mask"]] = dropped[:, None].to(plans.dtype)
    return plans


def encoder_of(codec: LappedCodec) -> Encode:
    """What turns audio [B, N] into codes [B, K, T] with a trained codec."""

    @torch.inference_mode()
    def encode(wavs: Tensor) -> Tensor:
        x = wavs[:, None].to(codec.quantizer.codebooks()[0].embed.device)
        return codec.quantizer.encode(codec.encoder(x)).transpose(0, 1)

    return encode
