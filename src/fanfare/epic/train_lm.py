"""Trains epic-mini's language model on codes of the corpus and the plans they were rendered from.

Groups of the plan are left out at random, so that one model takes full plans (a composed score),
lean ones (chords and beat only) and what can be heard in a recording; a tenth of the excerpts get
no plan at all, which is what guidance departs from. Hidden matrices are trained with Muon, the
rest with AdamW.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from fanfare.epic.plan import N_FEATURES, lean
from fanfare.epic.team import Team
from fanfare.epic.train_codec import CODEBOOK_SIZE, HOP, N_CODEBOOKS, cosine
from fanfare.nn.conditioning import align_frames
from fanfare.nn.config import LmConfig
from fanfare.nn.delay import DelayPattern
from fanfare.nn.encodec import Encodec, Recurrent
from fanfare.nn.lm import LanguageModel

DROP_PROBABILITY = {
    "bass": 0.12, "melody": 0.25, "arp": 0.25, "drums": 0.2, "onsets": 0.3,
    "instruments": 0.08, "frames": 0.3,
}  # fmt: skip


@dataclass(frozen=True)
class LmRecipe:
    """How the language model is trained; as for the codec, the schedule follows the clock.

    Attributes:
        pieces: at most so many of the corpus are turned into codes and trained on.
        batch, crop_frames: excerpts a step, over the whole team, and their length. No longer than
            the model's window, they train nearly twice as fast as longer ones.
        late_share: last part of the run, with excerpts twice as long and half as many, so that the
            model gets to know what slides out of its window.
        full_probability: share of excerpts that get the whole plan.
        null_probability: share that get none.
    """

    minutes: float = 55.0
    pieces: int = 3600
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
    gate_minutes: float = 2.0
    checkpoint_minutes: float = 3.0
    seed: int = 0


@dataclass(frozen=True)
class Codes:
    """Codes of a corpus [pieces, K, T] beside its plans [pieces, T, F]."""

    codes: NDArray[np.int16]
    plans: NDArray[np.float16]


def lm_config(recipe: LmRecipe) -> LmConfig:
    """Rotary positions and a sliding window, so that a piece may be of any length."""
    return LmConfig(
        n_codebooks=N_CODEBOOKS, card=CODEBOOK_SIZE, dim=recipe.dim, n_heads=recipe.n_heads,
        n_layers=recipe.n_layers, ffn_dim=4 * recipe.dim, delays=tuple(range(N_CODEBOOKS)),
        positions="rope", past_context=recipe.past_context, plan_features=N_FEATURES,
        max_duration_s=600.0,
    )  # fmt: skip


class LmTrainer:
    """One language model in training; a team's members hold the same weights at every step."""

    def __init__(self, recipe: LmRecipe, data: Codes, team: Team | None = None) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe, self.data = recipe, data
        self.team = team or Team()
        self.model = LanguageModel(lm_config(recipe))
        self.model.initialise()
        self._scale_inputs()
        self.forward = torch.compile(self.model, dynamic=False)
        hidden = [p for n, p in self.model.named_parameters() if is_hidden(n, p)]
        others = [p for n, p in self.model.named_parameters() if not is_hidden(n, p)]
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.Muon(hidden, lr=recipe.muon_lr, weight_decay=0.02),
            torch.optim.AdamW(others, recipe.adam_lr, betas=(0.9, 0.95), weight_decay=0.01),
        ]
        self.peaks = [recipe.muon_lr, recipe.adam_lr]
        self.average = [p.detach().clone() for p in self.model.parameters()]
        self.pattern = DelayPattern(self.model.config.delays, self.model.config.special_token)
        self.step, self.spent_s = 0, 0.0

    def _scale_inputs(self) -> None:
        """Standardises the plan; brings token embeddings to unit scale, the plan to about 0.5."""
        plan = self.model.plan
        assert plan is not None
        rows = self.data.plans[:: max(len(self.data.plans) // 200, 1)].astype(np.float32)
        flat = rows.reshape(-1, rows.shape[-1])
        plan.mean.copy_(torch.from_numpy(flat.mean(axis=0)))
        plan.std.copy_(torch.from_numpy(flat.std(axis=0)).clamp(min=0.1))
        for embedding in self.model.emb:
            nn.init.normal_(embedding.get_parameter("weight"), std=0.5)
        nn.init.normal_(plan.null_vector, std=0.1)

    def train(self, checkpoint: Path, heldout: Codes) -> Iterator[dict[str, float]]:
        """Trains by the clock, yielding figures every 50 steps and the gate every few minutes."""
        if checkpoint.exists():
            self.restore(checkpoint)
        rng = np.random.default_rng((self.recipe.seed, self.step, self.team.rank))
        self._step(rng)  # compiles; not on the clock
        last = saved = gated = time.monotonic()
        while self.spent_s < self.recipe.minutes * 60:
            books = self._step(rng)
            now = time.monotonic()
            self.spent_s = self.team.leaders(self.spent_s + now - last)
            last = now
            if not self.team.leads:
                continue
            if self.step % 50 == 0:
                yield {
                    "step": self.step, "minutes": self.spent_s / 60,
                    **{f"book{k}": float(v) for k, v in enumerate(books)},
                }  # fmt: skip
            if now - gated > self.recipe.gate_minutes * 60:
                yield {"step": self.step, "minutes": self.spent_s / 60, **self.gate(heldout)}
                gated = last = time.monotonic()
            if now - saved > self.recipe.checkpoint_minutes * 60:
                self._save(checkpoint)
                saved = last = time.monotonic()
        if self.team.leads:
            self._save(checkpoint)
            yield {
                "step": self.step,
                "minutes": self.spent_s / 60,
                **self.gate(heldout, n_pieces=64),
            }

    def _step(self, rng: np.random.Generator) -> Tensor:
        done = self.spent_s / (self.recipe.minutes * 60)
        warm = min(1.0, (self.step + 1) / 60)
        for optimizer, peak in zip(self.optimizers, self.peaks, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * warm * (0.02 + 0.98 * cosine(done))
            optimizer.zero_grad()
        late = done > 1 - self.recipe.late_share
        n_rows = self.recipe.batch // self.team.size // (2 if late else 1)
        n_frames = self.recipe.crop_frames * (2 if late else 1)
        codes, plans, null = batch(self.data, rng, self.recipe, n_rows, n_frames)
        books = self.losses(codes, plans, null, compiled=True)
        books.mean().backward()
        self.team.average(list(self.model.parameters()))
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
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
        with torch.autocast("cpu", torch.bfloat16):
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
        for i in range(min(n_pieces, len(heldout.codes))):
            T = 2 * self.recipe.crop_frames
            codes = torch.from_numpy(heldout.codes[i : i + 1, :, :T].astype(np.int64))
            plans = torch.from_numpy(heldout.plans[i : i + 1, :T].astype(np.float32))
            right = self.losses(codes, plans, torch.tensor([False]))
            null = self.losses(codes, plans, torch.tensor([True]))
            right_books.append(right)
            gaps.append((null - right)[0].item())
        books = torch.stack(right_books).mean(dim=0)
        return {
            **{f"heldout_book{k}": float(v) for k, v in enumerate(books)},
            "gap": float(np.mean(gaps)), "gap_error": float(np.std(gaps) / math.sqrt(len(gaps))),
        }  # fmt: skip

    def finished(self) -> LanguageModel:
        """The model with averaged weights."""
        with torch.no_grad():
            for parameter, average in zip(self.model.parameters(), self.average, strict=True):
                parameter.copy_(average)
        return self.model.eval()

    def _save(self, path: Path) -> None:
        state: dict[str, Any] = {
            "model": self.model.state_dict(), "average": self.average,
            "optimizers": [o.state_dict() for o in self.optimizers],
            "step": self.step, "spent_s": self.spent_s,
        }  # fmt: skip
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def restore(self, path: Path) -> None:
        """Goes on from a checkpoint."""
        state = torch.load(path, weights_only=True)
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.average = [a.detach() for a in state["average"]]
        self.step, self.spent_s = state["step"], state["spent_s"]


def is_hidden(name: str, parameter: Tensor) -> bool:
    """Whether Muon trains it: the matrices inside the transformer's layers."""
    return parameter.dim() == 2 and name.startswith("layers.")


def batch(
    data: Codes, rng: np.random.Generator, recipe: LmRecipe, B: int, T: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Random excerpts: codes [B, K, T], plans [B, T, F] with groups left out, null flags [B]."""
    codes, plans = [], []
    for _ in range(B):
        i = int(rng.integers(len(data.codes)))
        start = 0 if rng.random() < 0.4 else int(rng.integers(data.codes.shape[2] - T + 1))
        plan = data.plans[i, start : start + T].astype(np.float32)
        dropped: list[str] = []
        if rng.random() > recipe.full_probability:
            dropped = [name for name, p in DROP_PROBABILITY.items() if rng.random() < p]
        codes.append(data.codes[i, :, start : start + T].astype(np.int64))
        plans.append(lean(plan, dropped))
    null = torch.from_numpy(rng.random(B) < recipe.null_probability)
    return torch.from_numpy(np.stack(codes)), torch.from_numpy(np.stack(plans)), null


@torch.inference_mode()
def tokenise(wavs: NDArray[np.int16], codec: Encodec) -> NDArray[np.int16]:
    """Codes [pieces, K, T] of int16 wavs [pieces, N], N a multiple of the hop."""
    out = []
    for wav in wavs:
        x = torch.from_numpy(wav.astype(np.float32) / 32767)[None, None]
        codes = codec.quantizer.encode(encode_latents(codec, x))
        out.append(codes[:, 0].to(torch.int16).numpy())
    return np.stack(out)


def encode_latents(codec: Encodec, x: Tensor, part: int = 100, margin: int = 4) -> Tensor:
    """Latents [1, D, T] of audio [1, 1, N], as the encoder gives them, some frames at a time.

    What comes before the recurrent layer sees a few frames to either side only; in parts of two
    seconds its activations stay in the processor's cache, which is five times as fast.
    """
    layers = list(codec.encoder.layers)
    n_local = next(i for i, layer in enumerate(layers) if isinstance(layer, Recurrent))
    T = x.shape[-1] // HOP
    parts = []
    for start in range(0, T, part):
        left = max(0, start - margin)
        z = x[..., left * HOP : min(start + part + margin, T) * HOP]
        for layer in layers[:n_local]:
            z = layer(z)
        parts.append(z[..., start - left : min(start + part, T) - left])
    z = torch.cat(parts, dim=-1)
    for layer in layers[n_local:]:
        z = layer(z)
    return z
