"""Band models train on what they will be asked for, and play."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from fanfare.epic.clock import Deadline
from fanfare.epic.listen import HOP
from fanfare.epic.train_diffusion import (
    N_BANDS,
    DiffusionRecipe,
    DiffusionTrainer,
    estimated_noise,
    split,
)
from fanfare.nn.bands import lowpass_filters, split_bands
from fanfare.nn.lapped import LappedCodec, LappedConfig
from fanfare.weights.diffusion import load_diffusion, save_diffusion

SHAPE = LappedConfig(32000, HOP, 4, width=16, encoder_blocks=1, decoder_blocks=1)
RECIPE = DiffusionRecipe(
    minutes=1.0, hidden=4, depth=3, max_channels=16, batch=2, crop_frames=8, figures_steps=1
)


@dataclass(frozen=True)
class Noise:
    """Pieces of noise that is loud below and quiet above."""

    wavs: Tensor
    n_filled: int = 2

    def refresh(self, at_most: int = 1) -> None: ...


def noise() -> Noise:
    white = torch.randn(2, 40 * HOP, generator=torch.Generator().manual_seed(0))
    spectrum = torch.fft.rfft(white)
    spectrum[:, spectrum.shape[1] // 40 :] *= 0.05
    return Noise((torch.fft.irfft(spectrum) * 20000).to(torch.int16))


def test_the_networks_compute_in_training_what_they_do_later() -> None:
    torch.manual_seed(0)
    trainer = DiffusionTrainer(RECIPE, LappedCodec(SHAPE))
    unet = trainer.bands[0].unet
    x, latent = torch.randn(2, 1, 5120), torch.randn(2, 128, 8)
    for step in (3, 700):
        expected = unet(x, step, latent)
        steps = torch.tensor([step, step])
        torch.testing.assert_close(estimated_noise(unet, x, steps, latent), expected)


def test_bands_of_many_rows_are_those_of_one() -> None:
    filters = lowpass_filters(N_BANDS, 32000)
    wavs = torch.randn(2, 5000, generator=torch.Generator().manual_seed(1))
    bands = split(wavs, filters)
    for row, wav in zip(bands, wavs, strict=True):
        expected = torch.stack(list(split_bands(wav, filters)))
        torch.testing.assert_close(row, expected, atol=1e-5, rtol=0)


def test_band_models_train_resume_and_play(tmp_path: Path) -> None:
    codec = LappedCodec(SHAPE)
    for codebook in codec.quantizer.codebooks():
        torch.nn.init.normal_(codebook.embed)
    trainer = DiffusionTrainer(RECIPE, codec)
    pieces, path = noise(), tmp_path / "diffusion.pt"
    training = trainer.train(pieces, path)
    for _ in range(3):
        figures = next(training)
    assert set(figures) == {"step", "minutes", *(f"band{i}" for i in range(N_BANDS))}
    trainer.save(path)
    again = DiffusionTrainer(RECIPE, codec)
    list(again.train(pieces, path, Deadline(0.0)))
    assert again.step == trainer.step == 3
    levels = [float(band.processor.gain[i]) for i, band in enumerate(again.bands) if band.processor]
    assert levels[0] > 3 * levels[-1] > 0
    save_diffusion(tmp_path / "model", again.finished())
    model = load_diffusion(tmp_path / "model", device="cpu")
    latent = torch.randn(1, 128, 8)
    wav = model.decode(latent, 0.1 * torch.randn(1, 8 * HOP), torch.Generator().manual_seed(0))
    assert wav.shape == (1, 8 * HOP)
    assert wav.isfinite().all()
