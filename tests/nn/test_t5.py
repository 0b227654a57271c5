"""Our T5 encoder against transformers': the same weights give the same numbers, to the bit."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from transformers import T5Config as PeerConfig
from transformers import T5EncoderModel as Peer

from fanfare.nn.t5 import T5Encoder, buckets
from fanfare.weights.tensors import matches
from fanfare.weights.text import TIED, t5_config, t5_values

N_CONFIGS = 24


def random_values(rng: random.Random) -> dict[str, Any]:
    """transformers' configuration of some small T5."""
    n_buckets = rng.choice([4, 8, 9, 32])
    return {
        "model_type": "t5",
        "vocab_size": rng.randint(5, 40),
        "d_model": rng.choice([4, 12, 16]),
        "d_kv": rng.choice([1, 3, 8]),
        "d_ff": rng.choice([4, 20]),
        "num_layers": rng.randint(1, 4),
        "num_heads": rng.choice([1, 2, 3]),
        "relative_attention_num_buckets": n_buckets,
        "relative_attention_max_distance": rng.choice([max(4, n_buckets // 4 + 1), 16, 128]),
        "layer_norm_epsilon": rng.choice([1e-6, 1e-3]),
        "feed_forward_proj": rng.choice(["relu", "gated-gelu"]),
        "eos_token_id": rng.randint(0, 4),
    }


def pair(values: dict[str, Any], seed: int) -> tuple[Peer, T5Encoder]:
    """A random encoder of transformers', and ours of the same weights."""
    torch.manual_seed(seed)
    peer = Peer(PeerConfig(**values)).eval()
    for parameter in peer.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    ours = T5Encoder(t5_config(values, "this")).eval()
    ours.load_state_dict({k: w for k, w in peer.state_dict().items() if not matches(TIED, k)})
    return peer, ours


@pytest.mark.parametrize("seed", range(N_CONFIGS))
@torch.inference_mode()
def test_numbers_are_those_of_transformers(seed: int) -> None:
    rng = random.Random(seed)
    values = random_values(rng)
    peer, ours = pair(values, seed)
    for length in (1, 2, 3, rng.randint(4, 60), 200):
        tokens = torch.randint(values["vocab_size"], (rng.randint(1, 3), length))
        expected = peer(input_ids=tokens).last_hidden_state
        assert torch.equal(ours(tokens), expected), (values, length)
        assert expected.shape == (*tokens.shape, ours.config.dim)


@pytest.mark.parametrize("seed", range(N_CONFIGS))
def test_configurations_mean_the_same_to_transformers(seed: int) -> None:
    values = random_values(random.Random(seed))
    config = t5_config(values, "this")
    written = t5_values(config)
    assert t5_config(written, "this") == config
    peer, before = PeerConfig(**written), PeerConfig(**values)
    for key in (*values, "dense_act_fn", "is_gated_act"):
        assert getattr(peer, key) == getattr(before, key), key


@pytest.mark.parametrize(("n_buckets", "max_distance"), [(32, 128), (32, 20), (4, 4), (9, 100)])
def test_buckets_of_distances(n_buckets: int, max_distance: int) -> None:
    distance = torch.arange(-300, 301)
    found = buckets(distance, n_buckets, max_distance)
    n, exact = n_buckets // 2, n_buckets // 4
    later, earlier = found[300:] - n, found[:301].flip(0)
    assert later[0] == -n  # a token itself is in the first bucket
    assert torch.equal(later[1:], earlier[1:])
    assert earlier[:exact].tolist() == list(range(exact))
    assert bool((earlier.diff() >= 0).all())
    assert set(earlier[max_distance:].tolist()) == {n - 1}


@torch.inference_mode()
def test_matrices_of_few_bits_are_computed_with_as_wide_ones() -> None:
    _, ours = pair(random_values(random.Random(1)), 1)
    tokens = torch.randint(5, (1, 30))
    ours.narrow()
    assert {p.dtype for p in ours.parameters() if p.dim() > 1} == {torch.float16}
    narrow = ours(tokens)
    assert narrow.dtype == torch.float32
    assert torch.equal(narrow, ours.float()(tokens))
