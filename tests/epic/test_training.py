"""The recipe's stages, at a scale of seconds: they learn, resume, and export what loads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers.audio_utils import mel_filter_bank

import fanfare
from fanfare.epic import recipe, train_codec, train_lm
from fanfare.epic.corpus import Corpus, piece
from fanfare.epic.plan import N_FEATURES, plan_of
from fanfare.epic.team import Team, work_together
from fanfare.epic.train_codec import (
    HOP,
    MEL_BANDS,
    CodecRecipe,
    CodecTrainer,
    TrainingQuantizer,
    balanced,
    mel_bands,
    nearest_code,
    si_sdr,
)
from fanfare.epic.train_lm import Codes, LmRecipe, LmTrainer, batch, tokenise

CODEC = CodecRecipe(
    minutes=0.02,
    n_filters=4,
    batch=2,
    crop_frames=12,
    warmup_steps=4,
    checkpoint_minutes=0.0,
    polish_minutes=0.01,
    polish_excerpts=96,
)
LM = LmRecipe(
    minutes=0.02, dim=32, n_layers=1, n_heads=2, past_context=24, batch=2, crop_frames=20,
    gate_minutes=0.0, checkpoint_minutes=0.0,
)  # fmt: skip


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
def small() -> Corpus:
    """Four pieces of a second and a half, of tones."""
    t = np.arange(75 * HOP) / 32000
    wavs = np.stack([3000 * np.sin(2 * np.pi * 110 * (i + 1) * t) for i in range(4)])
    plans = np.stack([plan_of(piece(i, 75)) for i in range(4)])
    return Corpus(wavs.astype(np.int16), plans.astype(np.float16))


@pytest.fixture(scope="module")
def trained(small: Corpus, tmp_path_factory: pytest.TempPathFactory) -> CodecTrainer:
    trainer = CodecTrainer(CODEC)
    list(trainer.train(small, tmp_path_factory.mktemp("codec") / "codec.pt"))
    return trainer


@pytest.mark.filterwarnings("ignore:At least one mel filter")
@pytest.mark.parametrize("n_fft", MEL_BANDS)
def test_mel_bands_are_those_of_transformers(n_fft: int) -> None:
    n_bins, n_mels = n_fft // 2 + 1, MEL_BANDS[n_fft]
    expected = torch.from_numpy(mel_filter_bank(n_bins, n_mels, 0.0, 16000.0, 32000)).float()
    torch.testing.assert_close(mel_bands(n_bins, n_mels, 32000), expected, atol=1e-6, rtol=0)


def test_the_codec_trains_past_its_warm_up(trained: CodecTrainer) -> None:
    assert trained.step > CODEC.warmup_steps
    assert all(torch.isfinite(p).all() for p in trained.parameters)
    assert not any(p.requires_grad for p in trained.average)


def test_the_codec_resumes_where_it_was(small: Corpus, tmp_path: Path) -> None:
    first = CodecTrainer(CODEC)
    list(first.train(small, tmp_path / "codec.pt"))
    second = CodecTrainer(replace(CODEC, minutes=CODEC.minutes * 2))
    list(second.train(small, tmp_path / "codec.pt"))
    assert second.step > first.step
    assert not list(tmp_path.glob("*.partial"))


def test_the_quantizer_starts_on_its_data_and_follows_it() -> None:
    torch.manual_seed(0)
    centres = torch.randn(40, 128) * 3
    latents = centres[torch.randint(40, (3000,))] + 0.01 * torch.randn(3000, 128)
    quantizer = TrainingQuantizer()
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


def test_batches_hold_codes_beside_their_own_plans(small: Corpus) -> None:
    codes = np.arange(4)[:, None, None] * 100 + np.arange(75)[None, None] + np.zeros((4, 4, 1), int)
    data = Codes(codes.astype(np.int16), small.plans)
    recipe_ = replace(LM, full_probability=1.0, null_probability=0.5)
    out, plans, null = batch(data, np.random.default_rng(0), recipe_, 16, 40)
    assert out.shape == (16, 4, 40)
    assert plans.shape == (16, 40, N_FEATURES)
    assert 0 < null.sum() < 16
    for row, plan in zip(out, plans, strict=True):
        i, start = divmod(int(row[0, 0]), 100)
        np.testing.assert_array_equal(plan, small.plans[i, start : start + 40].astype(np.float32))


def test_the_language_model_trains_exports_and_plays(
    small: Corpus, trained: CodecTrainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_lm.torch, "compile", lambda model, dynamic: model)
    codes = tokenise(small.wavs, trained.finished())
    assert codes.shape == (4, 4, 75)
    data = Codes(codes, small.plans)
    trainer = LmTrainer(LM, data)
    figures = list(trainer.train(tmp_path / "lm.pt", data))
    assert {"gap", "gap_error", "heldout_book0"} <= set(figures[-1])
    again = LmTrainer(replace(LM, minutes=LM.minutes * 2), data)
    list(again.train(tmp_path / "lm.pt", data))
    assert again.step > trainer.step
    run = recipe.Run(tmp_path, CODEC, LM)
    run.export(trained, again, tmp_path / "model")
    audio = fanfare.load(tmp_path / "model").generate(prompt="calm harp", duration=1, seed=3)
    assert audio.samples.shape == (1, 32000)
    assert audio.codes.shape == (4, 50)


def test_the_recipe_runs_stage_by_stage(
    small: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_lm.torch, "compile", lambda model, dynamic: model)

    def build(folder: Path, n: int, *, offset: int = 0) -> None:
        folder.mkdir(parents=True)
        np.save(folder / "wavs.npy", small.wavs[:n])
        np.save(folder / "plans.npy", small.plans[:n])

    monkeypatch.setattr(recipe.corpus, "build", build)
    run = recipe.Run(tmp_path, CODEC, LM, workers=1)
    for _ in range(2):  # the second time, nothing is left to do
        run.corpus(3, 1)
        codec = run.codec()
        run.codes(codec)
        run.export(codec, run.lm(), tmp_path / "model")
    assert fanfare.load(tmp_path / "model").name


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
