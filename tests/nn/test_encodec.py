"""Our EnCodec against transformers': the same weights give the same numbers, to the bit."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize
from transformers import EncodecConfig as PeerConfig
from transformers import EncodecModel as Peer

from fanfare.nn.encodec import Encodec, Recurrent, padded
from fanfare.weights.codec import TRAINING_ONLY, encodec_config, encodec_values
from fanfare.weights.tensors import matches

N_CONFIGS = 24


def random_values(rng: random.Random) -> dict[str, Any]:
    """transformers' configuration of some small codec."""
    ratios = [rng.choice([1, 2, 3, 4, 5]) for _ in range(rng.randint(1, 3))]
    hop = int(torch.tensor(ratios).prod())
    rate_hz, bits = rng.choice([5, 50]), rng.choice([1, 4, 6])
    is_causal = rng.random() < 0.5
    return {
        "model_type": "encodec",
        "sampling_rate": rate_hz * hop,
        "target_bandwidths": [(rng.randint(1, 5) + 0.01) * bits * rate_hz / 1000],
        "hidden_size": rng.choice([1, 4, 7]),
        "num_filters": rng.choice([2, 4]),
        "num_residual_layers": rng.randint(0, 3),
        "upsampling_ratios": ratios,
        "kernel_size": rng.choice([1, 2, 7, 8]),
        "last_kernel_size": rng.choice([1, 4, 7]),
        "residual_kernel_size": rng.choice([1, 3, 4]),
        "dilation_growth_rate": rng.choice([1, 2, 3]),
        "compress": rng.choice([1, 2]),
        "num_lstm_layers": rng.randint(1, 3),
        "use_causal_conv": is_causal,
        "trim_right_ratio": rng.choice([0.0, 0.3, 0.5, 1.0]) if is_causal else 1.0,
        "pad_mode": rng.choice(["reflect", "constant", "replicate"]),
        "codebook_size": 2**bits,
        "use_conv_shortcut": rng.random() < 0.5,
    }


def pair(values: dict[str, Any], seed: int) -> tuple[Peer, Encodec]:
    """A random codec of transformers', and ours of the same weights."""
    torch.manual_seed(seed)
    peer = Peer(PeerConfig(**values)).eval()
    for layer in peer.quantizer.layers:
        nn.init.normal_(layer.codebook.embed)
    ours = Encodec(encodec_config(values, "this")).eval()
    with_weight_norm(ours)
    weights = {k: w for k, w in peer.state_dict().items() if not matches(TRAINING_ONLY, k)}
    ours.load_state_dict(weights)
    return peer, ours


def with_weight_norm(model: Encodec) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            parametrizations.weight_norm(module)


def without_weight_norm(model: nn.Module) -> None:
    for module in model.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")


@pytest.mark.parametrize("seed", range(N_CONFIGS))
@torch.inference_mode()
def test_numbers_are_those_of_transformers(seed: int) -> None:
    rng = random.Random(seed)
    values = random_values(rng)
    peer, ours = pair(values, seed)
    if seed % 2:
        without_weight_norm(ours)
    hop = ours.config.hop
    assert (hop, ours.config.frame_rate_hz) == (peer.config.hop_length, peer.config.frame_rate)
    for n_samples in [hop * 12 + rng.randint(0, hop), 1, 2, 3, 8]:
        wav = torch.randn(rng.randint(1, 3), 1, n_samples)
        latent = ours.encoder(wav)
        assert torch.equal(latent, peer.encoder(wav)), (values, n_samples)
        codes = ours.quantizer.encode(latent)
        bandwidth = peer.config.target_bandwidths[-1]
        assert torch.equal(codes, peer.quantizer.encode(latent, bandwidth)), values
        assert codes.shape == (ours.config.n_codebooks, len(wav), -(-n_samples // hop))
        assert torch.equal(ours.quantizer.encode(latent, 1), codes[:1])
        heard = ours.quantizer.decode(codes)
        assert torch.equal(heard, peer.quantizer.decode(codes)), values
        assert torch.equal(ours.decoder(heard), peer.decoder(heard)), (values, n_samples)


@pytest.mark.parametrize("seed", range(N_CONFIGS))
def test_configurations_mean_the_same_to_transformers(seed: int) -> None:
    values = random_values(random.Random(seed))
    config = encodec_config(values, "this")
    written = encodec_values(config)
    assert encodec_config(written, "this") == config
    peer, before = PeerConfig(**written), PeerConfig(**values)
    assert peer.num_quantizers == before.num_quantizers == config.n_codebooks
    for key in values:
        if key != "target_bandwidths":
            assert getattr(peer, key) == getattr(before, key), key


@pytest.mark.parametrize("bits", range(1, 13))
def test_every_number_of_codebooks_can_be_written(bits: int) -> None:
    values = random_values(random.Random(0)) | {"codebook_size": 2**bits}
    rate_hz = encodec_config(values, "this").frame_rate_hz
    for n in range(1, 65):
        values["target_bandwidths"] = [(n + 0.01) * bits * rate_hz / 1000]
        config = encodec_config(values, "this")
        assert config.n_codebooks == n
        assert PeerConfig(**encodec_values(config)).num_quantizers == n


def test_of_equal_codes_the_first_is_taken() -> None:
    peer, ours = pair(random_values(random.Random(3)) | {"codebook_size": 16}, 3)
    for layer in (*peer.quantizer.layers, *ours.quantizer.layers):
        layer.codebook.embed.copy_(layer.codebook.embed[torch.arange(16) // 4])
    latent = torch.randn(2, ours.config.latent_dim, 30)
    codes = ours.quantizer.encode(latent)
    assert not bool((codes % 4).any())
    assert torch.equal(codes, peer.quantizer.encode(latent, None))


@torch.inference_mode()
def test_a_recurrent_layer_carries_on() -> None:
    torch.manual_seed(0)
    layer, x = Recurrent(4, 2), torch.randn(2, 4, 20)
    first, state = layer.carry_on(x[..., :7], None)
    second, _ = layer.carry_on(x[..., 7:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=2), layer(x), atol=1e-6, rtol=0)


def test_gradients_are_those_of_transformers() -> None:
    peer, ours = pair(random_values(random.Random(5)), 5)
    wav = torch.randn(2, 1, 12 * ours.config.hop)

    def gradients(model: Any) -> dict[str, Tensor]:
        model.decoder(model.encoder(wav)).square().mean().backward()
        return {name: p.grad for name, p in model.named_parameters()}

    expected, found = gradients(peer), gradients(ours)
    assert list(found) == list(expected)
    for name, gradient in expected.items():
        assert torch.equal(found[name], gradient), name


def test_what_is_too_short_to_reflect_goes_on_with_silence() -> None:
    x = torch.tensor([[[1.0, 2.0]]])
    assert padded(x, 3, 1, "reflect").tolist() == [[[0.0, 0.0, 2.0, 1.0, 2.0, 0.0]]]
    assert padded(x, 0, 0, "reflect") is x
