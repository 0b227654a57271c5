"""How much memory a model takes while it makes music."""

from __future__ import annotations

from collections.abc import Mapping

from fanfare.nn.config import LmConfig
from fanfare.nn.lm import LanguageModel
from fanfare.weights.describe import Facts
from fanfare.weights.skeleton import skeleton
from fanfare.weights.tensors import matches

PRECISIONS: Mapping[str, tuple[int, int]] = {"float32": (4, 4), "bfloat16": (2, 2), "int8": (1, 2)}
"""Bytes per weight inside the layers, and per number in the cache."""

LOW = LanguageModel.LOW_PRECISION
"""The weights that are kept in less than float32; all others, and all parts, are float32."""

ROWS = 2
"""With guidance, each piece is two rows of a batch."""

TEXT_STEPS = 32
"""Of a long prompt."""


def memory_bytes(facts: Facts) -> dict[str, int]:
    """Bytes by precision for one piece as long as the model knows, thirty seconds at most.

    Weights and cache of the language model, text encoder and codec; what the libraries take for
    themselves, and what passes through the layers, comes on top.
    """
    assert facts.config is not None, facts.name
    with skeleton():
        weights = LanguageModel(facts.config).state_dict()
    low = sum(w.numel() for name, w in weights.items() if matches(LOW, name))
    high = sum(w.numel() for w in weights.values()) - low
    high += sum(part.n_parameters or 0 for part in facts.parts.values())
    numbers = _cached_numbers(facts.config)
    return {
        name: low * per_weight + numbers * per_number + high * 4
        for name, (per_weight, per_number) in PRECISIONS.items()
    }


def _cached_numbers(config: LmConfig) -> int:
    """Keys and values of all layers."""
    seconds = min(config.max_duration_s, 30.0)
    n_steps = config.n_steps(int(seconds * config.frame_rate_hz))
    if config.text_fusion == "prefix":
        n_steps += (config.chroma_length or 0) + TEXT_STEPS
    if config.past_context is not None:
        n_steps = min(n_steps, config.past_context)
    if config.text_fusion == "cross":
        n_steps += TEXT_STEPS
    return 2 * config.n_layers * ROWS * n_steps * config.dim
