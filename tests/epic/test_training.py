"""The recipe's stages, at a scale of seconds: they learn, resume, and export what loads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers.audio_utils import mel_filter_bank

import fanfare
from fanfare.epic import train_codec, train_lm
from fanfare.epic.adversary import Adversary
from fanfare.epic.clock import Deadline
from fanfare.epic.corpus import piece
from fanfare.epic.layout import LAYOUT_2
from fanfare.epic.listen import HOP
from fanfare.epic.losses import MEL_BANDS, balanced, mel_bands, si_sdr
from fanfare.epic.plan import lean, plan_of
from fanfare.epic.team import Team, work_together
from fanfare.epic.train_codec import CodecRecipe, CodecTrainer
from fanfare.epic.train_lm import Fixed, LmRecipe, LmTrainer, batch, encoder_of, leaned
from fanfare.epic.train_quantizer import TrainingQuantizer, nearest_code
from fanfare.nn.codec import Codec
from fanfare.nn.lapped import LappedCodec, LappedConfig, Synthesis
from fanfare.nn.partials import PartialsConfig
from fanfare.weights.own_layout import save_own

SHAPE = LappedConfig(
    32000, HOP, 1, width=16, encoder_blocks=1, decoder_blocks=1, encoder_hidden=24,
    decoder_hidden=24,
)  # fmt: skip
CODEC = CodecRecipe(
    minutes=0.02, n_codebooks=4, shape=SHAPE, batch=2, crop_frames=12, warmup_steps=4,
    checkpoint_minutes=0.0, adversary_width=2, adversary_from=0.6, polish_minutes=0.01,
    polish_excerpts=200, figures_steps=2,
)  # fmt: skip
LM = LmRecipe(
    minutes=0.02, n_codebooks=4, dim=32, n_layers=1, n_heads=2, past_context=24, batch=2,
    crop_frames=20, gate_minutes=0.0, checkpoint_minutes=0.0, figures_steps=2,
)  # fmt: skip


@dataclass(frozen=True)
class Pieces:
    """Audio, plans and codes that stay what they are."""

    wavs: Tensor
    plans: Tensor
    n_filled: int = 4

    def refresh(self, at_most: int = 1) -> None: ...


class Clock:
    """Counts how often it is asked in place of time, so that a busy machine trains as long."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        self.now_s += 0.1
        return self.now_s


@pytest.fixture(scope="module", autouse=True)
def _clock() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in (train_codec, train_lm):
            patch.setattr(module, "time", Clock())
        yield


@pytest.fixture(scope="module")
def small() -> Pieces:
    """Four pieces of a second and a half, of tones."""
    t = np.arange(75 * HOP) / 32000
    wavs = np.stack([3000 * np.sin(2 * np.pi * 110 * (i + 1) * t) for i in range(4)])
    plans = np.stack([plan_of(piece(i, 75), LAYOUT_2) for i in range(4)])
    return Pieces(torch.from_numpy(wavs.astype(np.int16)), torch.from_numpy(plans).half())


@pytest.fixture(scope="module")
def trained(small: Pieces, tmp_path_factory: pytest.TempPathFactory) -> CodecTrainer:
    trainer = CodecTrainer(CODEC)
    list(trainer.train(small, tmp_path_factory.mktemp("codec") / "codec.pt"))
    return trainer


@pytest.mark.filterwarnings("ignore:At least one mel filter")
@pytest.mark.parametrize("n_fft", MEL_BANDS)
def test_mel_bands_are_those_of_transformers(n_fft: int) -> None:
    n_bins, n_mels = n_fft // 2 + 1, MEL_BANDS[n_fft]
    expected = torch.from_numpy(mel_filter_bank(n_bins, n_mels, 0.0, 16000.0, 32000)).float()
    torch.testing.assert_close(mel_bands(n_bins, n_mels, 32000), expected, atol=1e-6, rtol=0)


def test_the_codec_trains_both_stages(trained: CodecTrainer) -> None:
    assert trained.step > CODEC.warmup_steps
    assert trained.is_done
    assert all(torch.isfinite(p).all() for p in trained.parameters)
    assert not any(p.requires_grad for p in trained.average)


def test_a_codec_of_ours_is_gone_on_from(small: Pieces, tmp_path: Path) -> None:
    """Its codes stay; its decoder is where training begins, and partials come in beside it."""
    old = LappedCodec(replace(SHAPE, n_codebooks=4)).eval()
    for codebook in old.quantizer.codebooks():
        torch.nn.init.normal_(codebook.embed)
    for layer in (old.encoder.layers[0], old.decoder.layers[-1]):
        layer.level.uniform_(0.1, 0.2)
    partials = replace(SHAPE, partials=PartialsConfig(n=20, hidden=8))
    shape = replace(CODEC, shape=partials, minutes=0.0)
    trainer = CodecTrainer(shape, codes_of=old)
    last = trainer.model.decoder.layers[-1]
    assert isinstance(last, Synthesis)
    kept, last.partials = last.partials, None
    z = torch.randn(1, 128, 9)
    assert torch.equal(trainer.model.decoder(z), old.decoder(z))
    last.partials = kept
    figures = list(trainer.train(small, tmp_path / "codec.pt"))
    assert all("partials" in line for line in figures)
    made, wav = trainer.finished(), small.wavs[:, :6400].float()[:, None] / 32767
    assert torch.equal(Codec(made).encode(wav), Codec(old).encode(wav))
    assert torch.equal(made.decoder.layers[-1].level, old.decoder.layers[-1].level)
    assert not torch.equal(made.decoder(z), old.decoder(z))
    wider = CodecTrainer(replace(shape, shape=replace(partials, decoder_hidden=32)), codes_of=old)
    up = wider.model.decoder.layers[1].up
    assert up.out_features == 32


def test_the_codec_resumes_where_it_was(small: Pieces, tmp_path: Path) -> None:
    path = tmp_path / "codec.pt"
    first = CodecTrainer(CODEC)
    for _ in first.train(small, path):
        if first.step >= 6:
            break
    assert not first.is_done
    list(CodecTrainer(CODEC).train(small, path, Deadline(0.0)))  # no time: nothing happens
    second = CodecTrainer(CODEC)
    second.restore(path)
    at = second.step
    assert at >= 5
    list(second.train(small, path))
    assert second.step > at
    assert second.is_done
    third = CodecTrainer(CODEC)
    third.restore(path)
    assert third.is_done
    polished = third.optimizers.parameters
    assert len(polished) == len(third.decoding)
    assert not any(encoder is p for p in polished for encoder in third.encoding)
    assert not list(tmp_path.glob("*.partial"))


def test_a_carried_codec_goes_on_without_its_optimiser(tmp_path: Path) -> None:
    path = tmp_path / "codec.pt"
    first = CodecTrainer(CODEC)
    first.step, first.spent_s = 7, 0.6
    first.save(path)
    kept = torch.load(path, weights_only=True)
    names = ("optimizers", "judging", "adversary", "average")
    torch.save({k: v for k, v in kept.items() if k not in names}, path)
    second = CodecTrainer(CODEC)
    second.restore(path)
    assert second.step == 7
    torch.testing.assert_close(second.average, [p.detach() for p in second.parameters])


def test_a_codec_may_do_without_judges(small: Pieces, tmp_path: Path) -> None:
    trainer = CodecTrainer(replace(CODEC, adversary_width=0))
    figures = list(trainer.train(small, tmp_path / "codec.pt"))
    assert trainer.is_done
    assert not any("judges" in one for one in figures)


def test_judges_learn_and_are_listened_to() -> None:
    torch.manual_seed(0)
    judges = Adversary(2)
    real, made = 0.3 * torch.randn(2, 6000), 0.1 * torch.sin(torch.arange(12000.0)).view(2, 6000)
    optimizer = torch.optim.Adam(judges.parameters(), 3e-3)
    first = judges.lesson(made, real)
    for _ in range(25):
        optimizer.zero_grad()
        last = judges.lesson(made, real)
        last.backward()
        optimizer.step()
    assert last < 0.8 * first
    made.requires_grad_()
    plain, far = judges.verdict(made, real)
    (gradient,) = torch.autograd.grad(plain + far, made)
    assert gradient.abs().sum() > 0
    assert judges.verdict(real, real)[1] == 0


def test_the_quantizer_starts_on_its_data_and_follows_it() -> None:
    torch.manual_seed(0)
    centres = torch.randn(40, 128) * 3
    latents = centres[torch.randint(40, (3000,))] + 0.01 * torch.randn(3000, 128)
    quantizer = TrainingQuantizer(4)
    quantizer.start(latents)
    z = latents[:64].T[None]  # [1, D, T]
    quantised, left = quantizer(z)
    assert left.pow(2).mean() < 1e-3
    torch.testing.assert_close(quantised, z - left)
    moved = z.clone() + 0.5
    for _ in range(300):
        _, left = quantizer(moved)
    assert left.pow(2).mean() < 1e-2


def test_nearest_code_is_nearest() -> None:
    torch.manual_seed(0)
    x, book = torch.randn(50, 8), torch.randn(20, 8)
    assert torch.equal(nearest_code(x, book), torch.cdist(x, book).argmin(dim=1))


def test_losses_are_balanced_whatever_their_scale() -> None:
    y = torch.randn(2, 100, requires_grad=True)
    small, large = 1e-3 * y[0].sum(), 1e3 * y[1].sum()
    gradient = balanced(y, {small: 1.0, large: 1.0})
    torch.testing.assert_close(gradient[0].norm(), gradient[1].norm())
    torch.testing.assert_close(gradient[0].norm(), torch.tensor(0.5))


def test_si_sdr_ignores_scale() -> None:
    x = torch.randn(1, 1000)
    assert si_sdr(3 * x, x) > 60
    noisy = si_sdr(x + x.norm() / 1000**0.5 * torch.randn(1, 1000), x)
    assert abs(float(noisy)) < 2


def test_batches_hold_codes_beside_their_own_plans(small: Pieces) -> None:
    codes = torch.arange(4)[:, None, None] * 100 + torch.arange(75) + torch.zeros(4, 4, 1)
    data = Fixed(codes.to(torch.int16), small.plans)
    recipe = replace(LM, full_probability=1.0, null_probability=0.5)
    out, plans, null = batch(data, np.random.default_rng(0), recipe, 16, 40, LAYOUT_2)
    assert out.shape == (16, 4, 40)
    assert plans.shape == (16, 40, LAYOUT_2.n_features)
    assert 0 < null.sum() < 16
    for row, plan in zip(out, plans, strict=True):
        i, start = divmod(int(row[0, 0]), 100)
        torch.testing.assert_close(plan, small.plans[i, start : start + 40].float())


def test_groups_are_left_out_as_one_by_one(small: Pieces) -> None:
    rng = np.random.default_rng(0)
    dropped = rng.random((4, len(LAYOUT_2.masked))) < 0.5
    together = leaned(small.plans.float(), torch.from_numpy(dropped), LAYOUT_2)
    for plan, flags, row in zip(small.plans.float().numpy(), dropped, together, strict=True):
        names = [name for name, gone in zip(LAYOUT_2.masked, flags, strict=True) if gone]
        np.testing.assert_allclose(row.numpy(), lean(plan, names, LAYOUT_2))


def test_the_language_model_trains_exports_and_plays(
    small: Pieces, trained: CodecTrainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_lm.torch, "compile", lambda model, dynamic: model)
    codec = trained.finished()
    codes = encoder_of(codec)(small.wavs.float() / 32767)
    with torch.no_grad():
        whole = codec.quantizer.encode(codec.encoder(small.wavs[:1, None].float() / 32767))
    assert codes.shape == (4, 4, 75)
    assert (codes[0] == whole[:, 0]).float().mean() > 0.99
    data = Fixed(codes.to(torch.int16), small.plans)
    trainer = LmTrainer(LM, data)
    figures = list(trainer.train(tmp_path / "lm.pt", data))
    assert {"gap", "gap_error", "heldout_book0"} <= set(figures[-1])
    assert trainer.is_done
    again = LmTrainer(replace(LM, minutes=LM.minutes * 2), data)
    list(again.train(tmp_path / "lm.pt", data))
    assert again.step > trainer.step
    plainly = LmTrainer(replace(LM, temperatures=()), None)
    plainly.restore(tmp_path / "lm.pt")
    heads = [head.weight.clone() for head in plainly.finished().heads]
    tempered = LmTrainer(replace(LM, temperatures=(1.0, 0.5)), None)
    tempered.restore(tmp_path / "lm.pt")
    for k, (head, plain) in enumerate(zip(tempered.finished().heads, heads, strict=True)):
        assert torch.equal(head.weight, 2 * plain if k == 1 else plain)
    extra = {"plan": LAYOUT_2.to_json()}
    save_own(tmp_path / "model", name="x", lm=again.finished(), codec=codec, extra=extra)
    audio = fanfare.load(tmp_path / "model").generate(prompt="calm harp", duration=1, seed=3)
    assert audio.samples.shape == (1, 32000)
    assert audio.codes.shape == (4, 50)


def _train_apart(folder: Path, team: Team) -> None:
    """One of two who train a line by the other half of the data; leaves what it ended with."""
    weight = torch.nn.Parameter(torch.zeros(3))
    (weight * torch.full((3,), float(team.rank + 1))).sum().backward()
    team.average([weight])
    assert weight.grad is not None
    clock = team.leaders(10.0 + team.rank)
    (folder / str(team.rank)).write_text(f"{weight.grad.tolist()} {clock} {team.leads}")


def test_a_team_shares_gradients_and_a_clock(tmp_path: Path) -> None:
    work_together(partial(_train_apart, tmp_path), 2)
    assert (tmp_path / "0").read_text() == "[1.5, 1.5, 1.5] 10.0 True"
    assert (tmp_path / "1").read_text() == "[1.5, 1.5, 1.5] 10.0 False"
    work_together(partial(_train_apart, tmp_path), 1)
    assert (tmp_path / "0").read_text() == "[1.0, 1.0, 1.0] 10.0 True"
