"""Our safetensors files are what the library reads, and lose nothing unless asked to."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fanfare.errors import CheckpointError
from fanfare.weights.safetensors_file import open_safetensors_file
from fanfare.weights.write import narrowest, write_tensors

DTYPES = [torch.float32, torch.float16, torch.bfloat16]


def tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "b.matrix": torch.randn(3, 5, generator=generator),
        "a.vector": torch.randn(7, generator=generator),
        "z.flags": torch.tensor([True, False, True]),
        "counts": torch.arange(5),
        "turned": torch.randn(4, 6, generator=generator).T,
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
    }


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_library_reads_what_is_written(tmp_path: Path, dtype: torch.dtype) -> None:
    write_tensors(tmp_path / "a.safetensors", tensors(), dtype)
    read = load_file(tmp_path / "a.safetensors")
    ours = open_safetensors_file(tmp_path / "a.safetensors")
    assert set(read) == set(ours) == set(tensors())
    for name, tensor in tensors().items():
        is_matrix = name in {"b.matrix", "turned", "empty"}
        expected = tensor.to(dtype) if is_matrix else tensor
        assert read[name].dtype == expected.dtype, name
        assert torch.equal(read[name], expected), name
        assert torch.equal(ours[name](), expected), name


def test_the_file_is_the_librarys(tmp_path: Path) -> None:
    plain = {name: t.contiguous() for name, t in tensors().items() if name != "empty"}
    write_tensors(tmp_path / "ours", plain, torch.float32)
    save_file(plain, tmp_path / "theirs")
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (0.5, torch.float16),
        (1 / 1024 + 1, torch.float16),
        (1e20, torch.float32),
        (2.0**40, torch.bfloat16),
        (0.1, torch.float32),
        (1e-7, torch.float32),
        (float("nan"), torch.float32),
    ],
)
def test_the_narrowest_type_that_loses_nothing(value: float, dtype: torch.dtype) -> None:
    vector = torch.tensor([0.1])  # vectors are never narrowed
    assert narrowest([torch.ones(2, 2), torch.full((2, 2), value), vector]) == dtype


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_what_is_narrow_stays_so(dtype: torch.dtype) -> None:
    assert narrowest([torch.randn(3, 3).to(dtype) + 1e-3]) == dtype


def test_too_large_for_the_type(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="big is too large for float16"):
        write_tensors(tmp_path / "a", {"big": torch.full((2, 2), 1e6)}, torch.float16)
    unbounded = {"big": torch.full((2, 2), float("inf"))}  # as it came
    write_tensors(tmp_path / "a", unbounded, torch.float16)
    assert torch.isinf(load_file(tmp_path / "a")["big"]).all()
