"""The published models have as many parameters as is known of them, without any being made."""

from __future__ import annotations

import pytest
import torch

from fanfare.nn.lm import LanguageModel
from fanfare.weights.published import PUBLISHED

MONO = {
    "small": 420_371_456,
    "medium": 1_838_737_920,
    "large": 3_256_956_928,
    "melody": 1_385_625_600,
    "melody-large": 2_451_480_576,
}


def test_all_ten_are_there() -> None:
    assert sorted(PUBLISHED) == sorted([*MONO, *(f"stereo-{name}" for name in MONO)])


@pytest.mark.parametrize("name", MONO)
def test_parameters_on_the_meta_device(name: str) -> None:
    with torch.device("meta"):
        mono, stereo = (LanguageModel(PUBLISHED[key]) for key in (name, f"stereo-{name}"))
    assert sum(p.numel() for p in mono.parameters()) == MONO[name]
    more = 4 * (2049 + 2048) * mono.config.dim  # four more embeddings and heads
    assert sum(p.numel() for p in stereo.parameters()) == MONO[name] + more


@pytest.mark.parametrize("name", PUBLISHED)
def test_shapes(name: str) -> None:
    config = PUBLISHED[name]
    is_stereo, is_melody = name.startswith("stereo-"), "melody" in name
    assert config.delays == ((0, 0, 1, 1, 2, 2, 3, 3) if is_stereo else (0, 1, 2, 3))
    assert config.channels == (2 if is_stereo else 1)
    assert (config.text_fusion, config.n_chroma is None) == (
        ("prefix", False) if is_melody else ("cross", True)
    )
    assert config.head_dim == 64
    assert config.n_layers == (24 if name.endswith("small") else 48)
