"""Which engine is meant, and that both play the same."""

from __future__ import annotations

import pytest
import torch

import fanfare
from fanfare.engine.engine import choose, single_thread
from fanfare.errors import InputError

CPU, GPU = torch.device("cpu"), torch.device("mps")


@pytest.mark.parametrize(("engine", "dtype", "device", "expected"), [
    ("auto", "auto", CPU, ("onnxruntime", "auto")),
    ("auto", "float32", CPU, ("torch", "float32")),
    ("auto", "bfloat16", CPU, ("torch", "bfloat16")),
    ("auto", "int8", CPU, ("onnxruntime", "int8")),
    ("onnxruntime", "float32", CPU, ("onnxruntime", "float32")),
    ("torch", "auto", CPU, ("torch", "float32")),
    ("auto", "auto", GPU, ("torch", "bfloat16")),
])  # fmt: skip
def test_what_auto_means(
    engine: str, dtype: str, device: torch.device, expected: tuple[str, str]
) -> None:
    choice = choose(engine, dtype, device)
    assert (choice.engine, choice.dtype) == expected


@pytest.mark.parametrize(("engine", "dtype", "device", "field"), [
    ("onnxruntime", "auto", GPU, "engine"), ("auto", "int8", GPU, "dtype"),
    ("torch", "int4", CPU, "dtype"), ("onnxruntime", "float16", CPU, "dtype"),
    ("tensorrt", "auto", CPU, "engine"), ("auto", "float64", CPU, "dtype"),
])  # fmt: skip
def test_what_does_not_go_together(
    engine: str, dtype: str, device: torch.device, field: str
) -> None:
    with pytest.raises(InputError) as caught:
        choose(engine, dtype, device)
    assert caught.value.field == field


def test_engines_play_the_same_and_say_who_plays() -> None:
    fields = {"prompt": "heroic brass", "duration": 3, "seed": 5}
    exact = fanfare.load("epic-mini", dtype="float32")
    fast = fanfare.load("epic-mini", device="cpu")
    small = fanfare.load("epic-mini", dtype="int8")
    assert "torch float32" in repr(exact)
    assert "onnxruntime float32" in repr(fast)
    assert "onnxruntime int8" in repr(small)
    codes = exact.generate(**fields).codes
    assert (fast.generate(**fields).codes == codes).all()
    heard = small.generate(**fields)
    assert heard.codes.shape == codes.shape
    assert 0.05 < float(abs(heard.samples).max()) <= 1


def test_torch_gets_its_threads_back() -> None:
    before = torch.get_num_threads()
    with single_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
