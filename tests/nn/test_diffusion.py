"""Multi-Band Diffusion: its schedule, its networks in pieces, its noise."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from fanfare.nn.bands import ProcessorConfig
from fanfare.nn.diffusion import BandConfig, DiffusionConfig, MultiBandDiffusion
from fanfare.nn.diffusion_schedule import VISITED, ScheduleConfig, alpha_bar, betas, reverse_steps
from fanfare.nn.diffusion_unet import DiffusionUnet, UnetConfig

PUBLIC = ScheduleConfig(beta_first=1e-5, beta_last=2.9e-2, exponent=7.5)
NETWORK = UnetConfig(
    latent_dim=4, hidden=8, depth=2, growth=2, max_channels=10_000, kernel=8, stride=4,
    res_blocks=1, norm_groups=4, emb_all_layers=True,
)  # fmt: skip
DEEP = replace(NETWORK, depth=3, res_blocks=2, kernel=6, stride=2)
NETWORKS = {
    "nothing": NETWORK,
    "bilstm": replace(DEEP, bottleneck="bilstm"),
    "transformer": replace(NETWORK, bottleneck="transformer", norm_groups=1),
    "cross_attention": replace(DEEP, bottleneck="cross_attention", emb_all_layers=False),
}


def noise(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def diffusion(*networks: UnetConfig, processor: ProcessorConfig | None = None) -> Any:
    torch.manual_seed(4)
    bands = tuple(BandConfig(network, PUBLIC, processor) for network in networks)
    return MultiBandDiffusion(DiffusionConfig(32000, bands)).eval().requires_grad_(False)


def test_the_public_schedule() -> None:
    variances = betas(PUBLIC)
    assert float(variances[0]) == pytest.approx(1e-5, rel=1e-5)
    assert float(variances[500]) == pytest.approx(1.48830e-3, rel=1e-5)
    assert float(variances[999]) == pytest.approx(2.9e-2, rel=1e-5)
    assert float(alpha_bar(variances, 999)) == pytest.approx(5.18656e-3, rel=1e-5)
    assert float(alpha_bar(variances, 49)) == pytest.approx(0.9992852, rel=1e-6)


def test_twenty_steps_from_noise_to_sound() -> None:
    assert VISITED[:2] == (999, 949)
    assert VISITED[-3:] == (99, 49, 0)
    steps = reverse_steps(PUBLIC)
    assert [step.step for step in steps] == list(range(999, 0, -50))
    assert all(step.noise_weight > 0 for step in steps[:-1])
    assert steps[-1].noise_weight == 0, "the last step adds no noise"
    # A network that knows the noise undoes it: x = sqrt(abar) * clean + sqrt(1 - abar) * noise.
    clean, dirt = noise(50).double(), noise(50, seed=2).double()
    left = float(alpha_bar(betas(PUBLIC), 49))
    x = left**0.5 * clean + (1 - left) ** 0.5 * dirt
    last = steps[-1]
    restored = (x - last.estimate_weight * dirt) / last.divisor
    torch.testing.assert_close(restored, clean, atol=0.02, rtol=0)


@pytest.mark.parametrize("change", [
    {"beta_first": 0.0}, {"beta_last": 1.0}, {"exponent": 0.0}, {"clip": -1.0},
    {"noise_scale": 0.0}, {"beta_first": float("nan")},
])  # fmt: skip
def test_schedules_that_lead_nowhere(change: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        replace(PUBLIC, **change)


@pytest.mark.parametrize("change", [
    {"hidden": 6}, {"kernel": 7}, {"kernel": 2}, {"depth": 0}, {"depth": 10**9}, {"growth": 0},
    {"stride": 0}, {"norm_groups": 0}, {"max_channels": 0}, {"latent_dim": 0}, {"res_blocks": -1},
    {"hidden": 4, "depth": 1, "bottleneck": "transformer"},
])  # fmt: skip
def test_networks_that_cannot_be(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="diffusion network"):
        replace(NETWORK, **change)


@pytest.mark.parametrize("chunk", [1, 40, 333, 1024])
@pytest.mark.parametrize("name", NETWORKS)
def test_pieces_give_what_the_whole_gives(name: str, chunk: int) -> None:
    torch.manual_seed(3)
    network = DiffusionUnet(NETWORKS[name]).eval().requires_grad_(False)
    x, latent = noise(1, 1, 345), noise(1, 4, 9, seed=2)
    whole = network(x, 449, latent)
    assert whole.shape == x.shape
    torch.testing.assert_close(network(x, 449, latent, chunk), whole, atol=2e-5, rtol=0)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_looks_at_all_it_is_given(name: str) -> None:
    torch.manual_seed(3)
    network = DiffusionUnet(NETWORKS[name]).eval().requires_grad_(False)
    x, latent = noise(1, 1, 345), noise(1, 4, 9, seed=2)
    whole = network(x, 449, latent)
    assert not torch.allclose(network(x, 399, latent), whole, atol=1e-4)
    assert not torch.allclose(network(x, 449, latent.flip(2)), whole, atol=1e-4)
    assert torch.equal(x, noise(1, 1, 345)), "its input is left alone"
    assert torch.equal(latent, noise(1, 4, 9, seed=2))


def test_decoding_in_pieces() -> None:
    """Twenty steps and all bands: what is left is rounding, at the seams as elsewhere."""
    mbd = diffusion(NETWORKS["bilstm"], NETWORK, processor=ProcessorConfig(4, 0.4))
    for band in mbd.bands:
        band.processor.filters.normal_(std=0.05)
        # An untrained network drives samples to the limit, where all differences end.
        band.config = replace(band.config, schedule=replace(PUBLIC, clip=None))
    latent, reference = noise(1, 4, 3), noise(1, 1920, seed=2)
    whole = mbd.decode(latent, reference, torch.Generator().manual_seed(7))
    parts = mbd.decode(latent, reference, torch.Generator().manual_seed(7), chunk=300)
    assert float(whole.std()) > 0.1
    torch.testing.assert_close(parts, whole, atol=1e-3, rtol=0)


def test_stereo_is_left_then_right() -> None:
    mbd = diffusion(NETWORK, NETWORK)
    latent, reference = noise(2, 4, 4), noise(2, 640, seed=2)
    generator = torch.Generator().manual_seed(7)
    both = mbd.decode(latent, reference, generator)
    generator.manual_seed(7)
    for channel in (0, 1):
        one = slice(channel, channel + 1)
        alone = mbd.decode(latent[one], reference[one], generator)
        torch.testing.assert_close(both[one], alone)
    assert not torch.allclose(both[0], both[1], atol=1e-2)


def test_steps_are_counted() -> None:
    mbd = diffusion(NETWORK, NETWORK)
    events = list(mbd.decoding(noise(2, 4, 4), noise(2, 640), torch.Generator().manual_seed(7)))
    assert mbd.n_steps(2) == 80
    assert events[:-1] == [None] * 80
    assert events[-1].shape == (2, 640)


def test_the_seed_counts_and_nothing_else_does() -> None:
    mbd = diffusion(NETWORK)
    latent, reference = noise(1, 4, 4), noise(1, 640, seed=2)

    def made(seed: int) -> torch.Tensor:
        wav: torch.Tensor = mbd.decode(latent, reference, torch.Generator().manual_seed(seed))
        return wav

    torch.manual_seed(1)
    first = made(1)
    after = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), after), "torch's own generator is left alone"
    assert torch.equal(made(1), first)
    assert not torch.allclose(made(2), first, atol=1e-2)


def test_samples_are_clipped_at_every_step() -> None:
    mbd = diffusion(NETWORK)
    band = mbd.bands[0]
    step = reverse_steps(PUBLIC)[0]
    loud = 100 * noise(1, 1, 64)
    generator = torch.Generator().manual_seed(7)
    assert float(band.denoised(loud, step, noise(1, 4, 1), generator).abs().max()) == 5
    band.config = replace(band.config, schedule=replace(PUBLIC, clip=None))
    assert float(band.denoised(loud, step, noise(1, 4, 1), generator).abs().max()) > 50


def test_config_survives_the_round_trip() -> None:
    config = diffusion(NETWORK, DEEP, processor=ProcessorConfig(2, (0.5, 1.0))).config
    assert DiffusionConfig.from_dict(config.to_dict()) == config
    values = config.to_dict()
    values["bands"][0]["unet"]["colour"] = 1
    with pytest.raises(ValueError, match="keys colour"):
        DiffusionConfig.from_dict(values)


def test_bands_must_agree_on_the_latent() -> None:
    with pytest.raises(ValueError, match="different latents"):
        diffusion(NETWORK, replace(NETWORK, latent_dim=5))
    with pytest.raises(ValueError, match="1 to 64 bands"):
        diffusion()
