"""multi_band_diffusion on the whole road: another sound of the same codes, or an early refusal."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fanfare
from fanfare.audio.loudness import normalize
from fanfare.errors import CheckpointError, InputError
from fanfare.model import Model
from fanfare.piece import Audio
from fanfare.predict import Finished, Progress
from tiny import write_checkpoint, write_diffusion

PUBLISHED = Path(__file__).parent / "golden" / "diffusion" / "mbd_musicgen_32khz.th"
STEPS = 2 * 20
"""Of two bands."""


@pytest.fixture(scope="module")
def diffusion_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_diffusion(tmp_path_factory.mktemp("weights") / "mbd")


@pytest.fixture(scope="module")
def model(text_folder: Path, diffusion_folder: Path) -> Model:
    return fanfare.load(text_folder, diffusion=diffusion_folder, device="cpu")


def make(model: Model, **fields: Any) -> Audio:
    given = {"prompt": "epic", "duration": 1, "seed": 3, "multi_band_diffusion": True}
    return model.generate(**{**given, **fields})


def test_another_sound_of_the_same_codes(model: Model) -> None:
    diffused, plain = make(model), make(model, multi_band_diffusion=False)
    np.testing.assert_array_equal(diffused.codes, plain.codes)
    assert diffused.samples.shape == plain.samples.shape == (1, 32000)
    assert np.abs(diffused.samples - plain.samples).max() > 0.05
    assert np.isfinite(diffused.samples).all()
    assert diffused.inputs.multi_band_diffusion


def test_the_noise_is_the_seed_s(model: Model) -> None:
    piece = make(model)
    np.testing.assert_array_equal(piece.samples, make(model).samples)
    codec, mbd = model.bundle.codec, model.bundle.diffusion
    assert mbd is not None
    codes = torch.from_numpy(piece.codes)[None]
    generator = torch.Generator().manual_seed(3)
    wav = mbd.decode(codec.latent(codes), codec.decode(codes)[0], generator)
    expected = normalize(wav.numpy(), 32000, "loudness")
    np.testing.assert_allclose(piece.samples, expected, atol=1e-5)
    other = mbd.decode(codec.latent(codes), codec.decode(codes)[0], generator.manual_seed(4))
    assert np.abs(other.numpy() - wav.numpy()).max() > 0.01


def test_stereo(tmp_path: Path, diffusion_folder: Path) -> None:
    model = fanfare.load(
        write_checkpoint(tmp_path / "stereo", "stereo"), diffusion=diffusion_folder, device="cpu"
    )
    piece = make(model)
    assert piece.samples.shape == (2, 32000)
    assert np.isfinite(piece.samples).all()
    assert np.abs(piece.samples[0] - piece.samples[1]).max() > 0.05


def test_progress_goes_on_while_diffusing(model: Model) -> None:
    request = {"prompt": "epic", "duration": 1, "seed": 1}
    events = list(model.events([{**request, "multi_band_diffusion": True}] * 2 + [request]))
    steps = [event for event in events if isinstance(event, Progress)]
    total = steps[0].n_steps
    assert [event.step for event in steps] == list(range(1, total + 1))
    assert all(event.n_steps == total for event in steps)
    plain = [event for event in model.events([request]) if isinstance(event, Progress)]
    assert total == len(plain) + 2 * STEPS
    assert [event.index for event in events if isinstance(event, Finished)] == [0, 1, 2]


def test_a_request_cancelled_while_diffusing(model: Model) -> None:
    request = {"prompt": "epic", "duration": 1, "seed": 1, "multi_band_diffusion": True}
    flags = [threading.Event(), threading.Event()]
    finished, steps = [], []
    for event in model.events([request, request], cancelled=flags):
        if isinstance(event, Progress):
            steps.append(event)
            if event.step == event.n_steps - 2 * STEPS + 5:
                flags[0].set()
        elif isinstance(event, Finished):
            finished.append(event.index)
    assert finished == [1]
    assert len(steps) == steps[0].n_steps - STEPS + 5
    assert steps[-1].step == steps[-1].n_steps


def test_a_model_without_diffusion_weights_refuses_early(text_model: Model) -> None:
    events = text_model.events([{"prompt": "epic", "multi_band_diffusion": True}])
    with pytest.raises(InputError, match="fanfare models pull mbd") as caught:
        next(events)
    assert caught.value.field == "multi_band_diffusion"
    assert "--diffusion" in caught.value.hint


def test_epic_mini_has_a_codec_of_its_own(tmp_path: Path, diffusion_folder: Path) -> None:
    folder = write_checkpoint(tmp_path / "plan", "plan")
    with pytest.raises(CheckpointError, match="tiny-plan has a codec of its own"):
        fanfare.load(folder, diffusion=PUBLISHED)
    with pytest.raises(InputError, match="leave this out, or use a MusicGen"):
        make(fanfare.load(folder))
    # Weights that were made for it are another matter.
    assert np.isfinite(make(fanfare.load(folder, diffusion=diffusion_folder)).samples).all()


def test_diffusion_beside_a_model_of_our_own_layout(
    text_folder: Path, diffusion_folder: Path, model: Model, tmp_path: Path
) -> None:
    folder = tmp_path / "whole"
    shutil.copytree(text_folder, folder)
    shutil.copytree(diffusion_folder, folder / "diffusion")
    np.testing.assert_array_equal(make(fanfare.load(folder)).samples, make(model).samples)
    write_diffusion(tmp_path / "other", latent_dim=9)
    with pytest.raises(CheckpointError, match=r"other: .* latent width of 9"):
        fanfare.load(folder, diffusion=tmp_path / "other")


def test_diffusion_weights_that_do_not_fit(text_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="sample rate of 24000, but this model's has 32000"):
        fanfare.load(text_folder, diffusion=write_diffusion(tmp_path / "a", sample_rate_hz=24000))
    with pytest.raises(CheckpointError, match="no diffusion weights"):
        fanfare.load(text_folder, diffusion=text_folder)
    with pytest.raises(CheckpointError, match="nowhere"):
        fanfare.load(text_folder, diffusion="nowhere")


def test_the_weights_stay_in_full_precision(text_folder: Path, diffusion_folder: Path) -> None:
    loaded = fanfare.load(text_folder, diffusion=diffusion_folder, dtype="bfloat16")
    assert loaded.bundle.lm.dtype == torch.bfloat16
    assert loaded.bundle.diffusion is not None
    assert {tensor.dtype for tensor in loaded.bundle.diffusion.state_dict().values()} == {
        torch.float32
    }
    assert np.isfinite(make(loaded).samples).all()
