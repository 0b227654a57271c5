"""What a step costs, by engine; what limits it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import fanfare
import machine
from fanfare.nn.config import LmConfig
from fanfare.nn.lm import LanguageModel
from fanfare.weights.quantise import quantise
from sizes import TINY


def matrices(*, heads: bool) -> list[torch.Tensor]:
    """What a step multiplies by, of a text only the queries' third."""
    found = []
    for name, weight in LanguageModel(TINY).named_parameters():
        if weight.ndim > 1 and name.startswith("heads." if heads else "layers."):
            used = weight.chunk(3)[0] if "cross_attn.in_proj" in name else weight
            found.append(used.detach())
    return found


def quantised_bytes(some: list[torch.Tensor], bits: int) -> int:
    small = [quantise(weight, bits) for weight in some]
    return sum(matrix.values.nbytes + matrix.scales.nbytes for matrix in small)


@pytest.mark.parametrize(
    ("engine", "dtype", "layers_bits", "heads_bits", "cached"),
    [
        ("torch", "float32", 32, 32, 4),
        ("torch", "bfloat16", 16, 32, 4),
        ("onnxruntime", "float32", 32, 32, 4),
        ("onnxruntime", "int8", 8, 8, 4),
        ("onnxruntime", "int4", 4, 8, 4),
    ],
)
def test_a_step_reads_the_bytes_that_its_engine_holds(
    random_tiny: Path, engine: str, dtype: str, layers_bits: int, heads_bits: int, cached: int
) -> None:
    model = fanfare.load(random_tiny, device="cpu", engine=engine, dtype=dtype)
    cost = machine.step_cost(model.engine)
    expected = 0
    for some, bits in (
        (matrices(heads=False), layers_bits),
        (matrices(heads=True), heads_bits),
    ):
        if bits >= 16:
            expected += sum(weight.numel() for weight in some) * bits // 8
        else:
            expected += quantised_bytes(some, bits)
    assert cost.weight_bytes == expected
    assert cost.n_weights == sum(w.numel() for h in (True, False) for w in matrices(heads=h))
    assert cost.cache_bytes_per_step == 2 * TINY.n_layers * TINY.dim * cached
    assert machine.weight_bytes(model.engine) > cost.weight_bytes


def test_the_limit_is_the_slower_of_reading_and_multiplying() -> None:
    found = machine.Limits(bytes_per_s=100.0, operations_per_s=1000.0)
    assert found.step_s(50.0, 100.0) == 0.5
    assert found.step_s(50.0, 2000.0) == 2.0


def test_steps_in_view_grow_until_the_window_is_full() -> None:
    windowed = LmConfig(
        n_codebooks=1, card=4, dim=8, n_heads=1, n_layers=1, ffn_dim=8, delays=(0,),
        positions="rope", past_context=100,
    )  # fmt: skip
    assert machine.mean_length(windowed, 100) == 50
    assert machine.mean_length(windowed, 200) == 75
    assert machine.mean_length(TINY, 200) == 100


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8])
def test_the_machine_is_measured_in_the_type_that_runs(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "COPY_BYTES", 2**20)
    monkeypatch.setitem(machine.MATRIX, "cpu", 64)
    found = machine.limits(torch.device("cpu"), dtype)
    assert found.bytes_per_s > 1e7
    assert found.operations_per_s > 1e6


def test_peak_memory_counts_what_is_gone_again() -> None:
    machine.restart_peak()
    before = machine.peak_mb()
    torch.ones(64 * 2**18).sum()  # 67 MB, at once given back
    assert machine.peak_mb() - before > 50
    machine.restart_peak()
    assert machine.peak_mb() - before < 50
