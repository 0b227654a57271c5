"""Trains epic-mini's codec (`nn.lapped`), on a CPU or a GPU.

Losses: waveform L1 alone at first; then log-mel L1 and spectral convergence at several scales
beside it; partials are taught which peaks the originals have. Second stage ("polish"): the encoder
is fixed, codebooks are fitted anew by k-means, and the decoder is trained on what they give, by
the same losses and by an adversary's. A trainer that is given a codec keeps its codes: it only
trains a decoder of them, going on from one of the same shape.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from fanfare.epic.adversary import Adversary
from fanfare.epic.clock import Deadline
from fanfare.epic.excerpts import Wavs, crops
from fanfare.epic.listen import HOP, SAMPLE_RATE_HZ
from fanfare.epic.losses import SpectralLoss, averages, balanced, cosine, norm_ratio, si_sdr
from fanfare.epic.optimizers import Optimizers
from fanfare.epic.peaks import partials_loss, peaks
from fanfare.epic.train_quantizer import LATENT, TrainingQuantizer
from fanfare.nn.encodec import Encodec
from fanfare.nn.lapped import Analysis, LappedCodec, LappedConfig, Outlet, Synthesis, transformed
from fanfare.nn.partials import PartialsConfig

Figures = dict[str, Tensor]


@dataclass(frozen=True)
class CodecRecipe:
    """How the codec is trained.

    Attributes:
        minutes: wall-clock length of the first stage; learning rates follow the clock.
        n_codebooks: of a codec that isn't given.
        shape: everything else of the codec.
        batch, crop_frames: excerpts a step, and their length.
        warmup_steps: steps before quantising starts (with k-means on recent latents).
        spectral_share: of the gradient, beside the waveform's 1.
        partials_share: of what reaches the blocks, beside all else's 1.
        partials_gains: Hz and dB: from there on, how much louder the finished partials are than
            they were taught. What is doubtful is too soft; at the lower end the transform plays
            as well.
        adversary_width: channels of the judges; 0 = there are none.
        adversary_from: share of the first stage after which they have a say; above 1 = never.
        adversary_rows: excerpts of a batch that are judged; 0 = all.
        polish_minutes: of the second stage.
        polish_adversary_from: share of it after which the judges have a say.
    """

    minutes: float = 26.0
    n_codebooks: int = 6
    shape: LappedConfig = field(
        default_factory=lambda: LappedConfig(SAMPLE_RATE_HZ, HOP, 1, partials=PartialsConfig())
    )
    batch: int = 14
    crop_frames: int = 64
    adam_lr: float = 1e-3
    muon_lr: float = 0.01
    warmup_steps: int = 200
    commitment: float = 0.5
    spectral_share: float = 2.0
    partials_share: float = 0.7
    partials_gains: tuple[tuple[float, float], ...] = ((0.0, -3.0), (1600.0, 3.5))
    max_norm: float = 1.0
    adversary_width: int = 8
    adversary_from: float = 2.0
    adversary_share: float = 0.5
    feature_share: float = 0.7
    adversary_rows: int = 0
    polish_minutes: float = 12.0
    polish_adversary_from: float = 0.0
    polish_excerpts: int = 560
    polish_lr_share: float = 0.5
    refresh_steps: int = 4
    checkpoint_minutes: float = 3.0
    figures_steps: int = 50
    seed: int = 0


class CodecTrainer:
    """One codec in training: model, quantiser, adversary, optimisers, moving average of weights."""

    def __init__(
        self,
        recipe: CodecRecipe,
        device: torch.device | str = "cpu",
        codes_of: Encodec | LappedCodec | None = None,
    ) -> None:
        """`codes_of`: whose encoder and codebooks are kept; None = all is trained."""
        torch.manual_seed(recipe.seed)
        self.recipe, self.device = recipe, torch.device(device)
        n_codebooks = codes_of.config.n_codebooks if codes_of else recipe.n_codebooks
        shape = replace(recipe.shape, n_codebooks=n_codebooks)
        self.model = LappedCodec(listening_as(codes_of, shape) if codes_of else shape)
        self.model.to(self.device)
        self.quantizer = TrainingQuantizer(n_codebooks).to(self.device)
        self.loss = SpectralLoss().to(self.device)
        self.encoding: list[Tensor] = list(self.model.encoder.parameters())
        self.decoding: list[Tensor] = list(self.model.decoder.parameters())
        self.average = [p.detach().clone() for p in self.parameters]
        self.optimizers = self._optimizers(self.model)
        self.adversary = Adversary(recipe.adversary_width).to(self.device)
        self.judging = (
            torch.optim.AdamW(self.adversary.parameters(), 3e-4, betas=(0.5, 0.9))
            if recipe.adversary_width
            else None
        )
        self.step, self.spent_s, self.polish_s = 0, 0.0, -1.0
        self.recent: list[Tensor] = []
        self.unlevelled = [self.model.encoder.layers[0], self.model.decoder.layers[-1]]
        if codes_of is not None:
            self._keep(codes_of)

    @torch.no_grad()
    def _keep(self, codes_of: Encodec | LappedCodec) -> None:
        """Takes over encoder and codebooks, and a decoder that fits: only the second stage is left.

        What a decoder lacks, such as partials, begins anew.
        """
        self.model.encoder.load_state_dict(codes_of.encoder.state_dict())
        for k, codebook in enumerate(codes_of.quantizer.codebooks()):
            self.quantizer.books[k] = codebook.embed
        begun = codes_of.decoder.state_dict() if isinstance(codes_of, LappedCodec) else {}
        own = self.model.decoder.state_dict()
        if begun and all(name in own and own[name].shape == x.shape for name, x in begun.items()):
            self.model.decoder.load_state_dict({**own, **begun})
            self.unlevelled = []
        else:
            self.unlevelled = [self.model.decoder.layers[-1]]
        self.average = [p.detach().clone() for p in self.parameters]
        self.polish_s = 0.0
        self._fix_encoder()

    @property
    def parameters(self) -> list[Tensor]:
        """The encoder's, then the decoder's."""
        return self.encoding + self.decoding

    @property
    def is_done(self) -> bool:
        """Whether both stages are over."""
        return self.polish_s >= self.recipe.polish_minutes * 60

    def _optimizers(self, module: nn.Module) -> Optimizers:
        recipe = self.recipe
        return Optimizers(
            module, is_hidden, muon_lr=recipe.muon_lr, adam_lr=recipe.adam_lr, betas=(0.8, 0.99)
        )

    @torch.no_grad()
    def _learn_level(self, x: Tensor) -> None:
        """Each coefficient's deviation over a batch of audio [B, N]: inputs are of unit level."""
        made = transformed(x, self.model.config.transform_hop)
        level = made.flatten(0, 1).pow(2).mean(dim=0).sqrt()
        level = level.clamp(min=3e-4 * float(level.max()))
        for layer in self.unlevelled:
            if isinstance(layer, Analysis | Synthesis):
                layer.level.copy_(level)

    def train(
        self, pieces: Wavs, checkpoint: Path, deadline: Deadline | None = None
    ) -> Iterator[dict[str, float]]:
        """Trains both stages by the clock, yielding figures; resumes from `checkpoint`."""
        if checkpoint.exists():
            self.restore(checkpoint)
        elif not self.step:
            self._learn_level(self._crops(pieces, 64))
        deadline = deadline or Deadline()
        if self.polish_s < 0:
            yield from self._stage(pieces, checkpoint, deadline, self.recipe.minutes * 60)
            if self.spent_s >= self.recipe.minutes * 60:
                self._refit(pieces)
        if self.polish_s >= 0:
            yield from self._stage(pieces, checkpoint, deadline, self.recipe.polish_minutes * 60)

    def _stage(
        self, pieces: Wavs, checkpoint: Path, deadline: Deadline, length_s: float
    ) -> Iterator[dict[str, float]]:
        polishes = self.polish_s >= 0
        torch.manual_seed(self.recipe.seed + self.step)
        last = saved = time.monotonic()
        while (self.polish_s if polishes else self.spent_s) < length_s and not deadline.has_come:
            if self.step % self.recipe.refresh_steps == 0:
                pieces.refresh()
            x = self._crops(pieces, self.recipe.batch)
            figures = self._polish(x) if polishes else self._step(x)
            now = time.monotonic()
            if polishes:
                self.polish_s += now - last
            else:
                self.spent_s += now - last
            last = now
            if self.step % self.recipe.figures_steps == 0:
                minutes = (self.polish_s if polishes else self.spent_s) / 60
                yield {
                    "polish" if polishes else "step": self.step, "minutes": minutes,
                    **{name: float(value) for name, value in figures.items()},
                }  # fmt: skip
            if now - saved > self.recipe.checkpoint_minutes * 60:
                self.save(checkpoint)
                saved = now
        self.save(checkpoint)

    def _crops(self, pieces: Wavs, n: int) -> Tensor:
        return crops(pieces, n, self.recipe.crop_frames * HOP, self.device)

    def _bf16(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16)

    def _step(self, x: Tensor) -> Figures:
        done = self.spent_s / max(self.recipe.minutes * 60, 1e-9)
        warm = min(1.0, (self.step + 1) / 100)
        self.optimizers.begin(warm * (0.03 + 0.97 * cosine(done)))
        with self._bf16():
            z = self.model.encoder(x.unsqueeze(1)).float()
        if self.step == self.recipe.warmup_steps:
            self.quantizer.start(torch.cat(self.recent))
            self.recent.clear()
        latents = z.detach().requires_grad_()
        if self.step < self.recipe.warmup_steps:
            self.recent.append(latents.detach().transpose(1, 2).reshape(-1, LATENT))
            self.recent = self.recent[-40:]
            z0 = latents.detach()
            quantised, pull = latents, z0 * (z0.std() - 1.0)  # keeps them at unit scale
        else:
            quantised, pull = self.quantizer(latents)
        judged = bool(self.judging) and done >= self.recipe.adversary_from
        figures = self._teach(quantised, x, judged=judged)
        assert latents.grad is not None
        z.backward(latents.grad + self._pull(latents.grad, pull))
        norm = nn.utils.clip_grad_norm_(self.parameters, self.recipe.max_norm)
        self.optimizers.step()
        self._follow(0.999)
        return {**figures, "grad": norm, "left": pull.std() / z.detach().std()}

    def _polish(self, x: Tensor) -> Figures:
        done = self.polish_s / max(self.recipe.polish_minutes * 60, 1e-9)
        share = self.recipe.polish_lr_share * (0.02 + 0.98 * cosine(done))
        self.optimizers.begin(min(1.0, (self.step + 1) / 100) * share)
        with torch.no_grad(), self._bf16():
            latents = self.model.encoder(x.unsqueeze(1)).float()
            z, _ = self.quantizer(latents)
        judged = bool(self.judging) and done >= self.recipe.polish_adversary_from
        figures = self._teach(z, x, judged=judged)
        nn.utils.clip_grad_norm_(self.decoding, self.recipe.max_norm)
        self.optimizers.step()
        self._follow(0.998)
        return figures

    def _follow(self, slowest: float) -> None:
        self.step += 1
        decay = min(slowest, (self.step + 1) / (self.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(self.average, self.parameters, 1 - decay)

    @torch.no_grad()
    def _refit(self, pieces: Wavs) -> None:
        """Fits the codebooks anew to a fixed encoder, whose latents are brought to unit scale.

        While both ends move, codebooks lag behind latents whose scale drifts.
        """
        self._average()
        n = -(-self.recipe.polish_excerpts // self.recipe.batch)
        latents = [
            self.model.encoder(self._crops(pieces, self.recipe.batch).unsqueeze(1))
            for _ in range(n)
        ]
        flat = torch.cat([z.transpose(1, 2).reshape(-1, LATENT) for z in latents])
        scale = flat.std()
        # Unit latents: the same function, in half precision's range.
        outlet, inlet = self.model.encoder.layers[-1], self.model.decoder.layers[0]
        assert isinstance(outlet, Outlet), outlet
        for parameter in outlet.projection.parameters():
            parameter.div_(scale)
        inlet.get_parameter("weight").mul_(scale)
        for average, trained in zip(self.average, self.parameters, strict=True):
            average.copy_(trained)
        self.quantizer.start(flat / scale, rounds=15)
        self.polish_s = 0.0
        self._fix_encoder()

    def _fix_encoder(self) -> None:
        self.quantizer.eval()
        self.optimizers = self._optimizers(self.model.decoder)

    def _teach(self, z: Tensor, x: Tensor, *, judged: bool) -> Figures:
        """Sends the gradient of all losses back to the decoder and to latents `z` [B, D, T]."""
        *before, last = self.model.decoder.layers
        assert isinstance(last, Synthesis), last
        with self._bf16():
            hidden = z
            for layer in before:
                hidden = layer(hidden)
            reached = hidden.detach().requires_grad_()
            y = last(reached).squeeze(1)
        figures = self._reconstruct(y.float(), x, self._spectra_heard(), judged=judged)
        gradient = reached.grad
        assert gradient is not None
        if last.partials is not None:
            reached.grad = None
            with self._bf16():
                said = last.partials.says(last.heard(reached))
            loss = partials_loss(*said, peaks(x, last.partials.config))
            torch.autograd.backward(loss)
            other = reached.grad
            assert other is not None
            gradient = gradient + other * (self.recipe.partials_share * norm_ratio(gradient, other))
            figures["partials"] = loss.detach()
        hidden.backward(gradient)
        return figures

    def _reconstruct(self, y: Tensor, x: Tensor, spectra: float, *, judged: bool) -> Figures:
        """Sends the balanced gradient of the losses back from `y`; returns their values."""
        spectral, log_mel = self.loss(y, x)
        level = x.abs().mean(dim=1).clamp(min=1e-3)
        wave = ((y - x).abs().mean(dim=1) / level).mean()
        shares = {spectral: spectra * self.recipe.spectral_share, wave: 1.0}
        figures = {
            "spectral": spectral.detach(), "wave": wave.detach(), "log_mel": log_mel,
            "si_sdr": si_sdr(y.detach(), x),
        }  # fmt: skip
        if judged:
            assert self.judging is not None
            n = self.recipe.adversary_rows or len(x)
            with self._bf16():
                lesson = self.adversary.lesson(y[:n], x[:n])
            self.judging.zero_grad()
            lesson.backward()
            self.judging.step()
            with self._bf16():
                plain, far = self.adversary.verdict(y[:n], x[:n])
            weight = (n / len(x)) ** 0.5  # as much for each of these excerpts as if all were judged
            shares |= {
                plain: weight * self.recipe.adversary_share,
                far: weight * self.recipe.feature_share,
            }
            figures |= {"judges": lesson.detach(), "features": far.detach()}
        y.backward(balanced(y, shares))
        return figures

    def _pull(self, gradient: Tensor, pull: Tensor) -> Tensor:
        """The commitment's gradient: a share of the reconstruction's, whatever its scale."""
        if self.step < self.recipe.warmup_steps:
            return pull * gradient.norm() / pull.shape[0] ** 0.5 / 100
        return pull * (self.recipe.commitment * norm_ratio(gradient, pull))

    def _spectra_heard(self) -> float:
        """0 at first: the waveform alone teaches the phase; then, step by step, 1."""
        start = max(self.recipe.warmup_steps // 2, 1)
        return min(max((self.step - start) / (3 * start), 0.0), 1.0)

    def _average(self) -> None:
        """Gives the model its averaged weights."""
        with torch.no_grad():
            for parameter, average in zip(self.parameters, self.average, strict=True):
                parameter.copy_(average)

    def finished(self) -> LappedCodec:
        """The model with averaged weights and trained codebooks."""
        self._average()
        with torch.no_grad():
            last = self.model.decoder.layers[-1]
            if isinstance(last, Synthesis) and last.partials is not None:
                last.partials.amplify(self.recipe.partials_gains)
            for k, codebook in enumerate(self.model.quantizer.codebooks()):
                codebook.embed.copy_(self.quantizer.books[k])
        return self.model.eval()

    def save(self, path: Path) -> None:
        """Writes a checkpoint."""
        state = {
            "model": self.model.state_dict(), "quantizer": self.quantizer.state_dict(),
            "optimizers": self.optimizers.state(), "average": self.average,
            "names": [name for name, _ in self.model.named_parameters()], "step": self.step,
            "adversary": self.adversary.state_dict(),
            "judging": self.judging.state_dict() if self.judging else None,
            "spent_s": self.spent_s, "polish_s": self.polish_s,
        }  # fmt: skip
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def restore(self, path: Path) -> None:
        """Goes on from a checkpoint."""
        state = torch.load(path, weights_only=True, map_location=self.device)
        self.model.load_state_dict(state["model"])
        self.quantizer.load_state_dict(state["quantizer"])
        self.average = averages(state, self.parameters)
        self.step, self.spent_s = state["step"], state["spent_s"]
        self.polish_s = state["polish_s"]
        if self.polish_s >= 0:
            self._fix_encoder()
        if "optimizers" not in state:
            return
        self.optimizers.restore(state["optimizers"])
        self.adversary.load_state_dict(state["adversary"])
        if self.judging is not None and state["judging"] is not None:
            self.judging.load_state_dict(state["judging"])


def listening_as(codec: Encodec | LappedCodec, shape: LappedConfig) -> LappedConfig:
    """A codec of `shape` with the other's encoder."""
    if isinstance(codec, Encodec):
        return replace(shape, encodec=codec.config)
    theirs = codec.config
    return replace(
        shape, n_transforms=theirs.n_transforms, width=theirs.width, kernel=theirs.kernel,
        encoder_blocks=theirs.encoder_blocks, encoder_hidden=theirs.encoder_hidden,
        encodec=theirs.encodec,
    )  # fmt: skip


def is_hidden(name: str, parameter: Tensor) -> bool:
    """Whether Muon trains it: the matrices inside blocks."""
    return name.endswith((".up.weight", ".down.weight"))
