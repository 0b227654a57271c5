"""Loading, and what Model accepts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fanfare
from fanfare.inputs import Inputs
from fanfare.model import Model


@pytest.mark.parametrize(("options", "field"), [
    ({"device": "abacus"}, "device"), ({"device": "cuda:99"}, "device"), ({"device": ""}, "device"),
    ({"device": "meta"}, "device"), ({"dtype": "int3"}, "dtype"), ({"dtype": ""}, "dtype"),
    ({"engine": "steam"}, "engine"), ({"engine": ""}, "engine"),
    ({"engine": "torch", "dtype": "int8"}, "dtype"),
    ({"engine": "onnxruntime", "dtype": "bfloat16"}, "dtype"),
])  # fmt: skip
def test_wrong_options(text_folder: Path, options: dict[str, Any], field: str) -> None:
    with pytest.raises(fanfare.InputError) as caught:
        fanfare.load(text_folder, **options)
    assert caught.value.field == field


@pytest.mark.parametrize("name", ["nowhere", "", "/nowhere/at/all"])
def test_missing_weights(name: str) -> None:
    with pytest.raises(fanfare.CheckpointError):
        fanfare.load(name)


def test_half_precision(text_folder: Path) -> None:
    import torch

    model = fanfare.load(text_folder, dtype="bfloat16")
    assert model.bundle.lm.dtype == torch.bfloat16
    assert model.generate(prompt="epic", duration=1, seed=1).duration_s == 1.0


def test_codec_and_text_encoder_of_elsewhere(text_folder: Path, text_model: Model) -> None:
    model = fanfare.load(
        text_folder, codec=text_folder / "codec", text_encoder=text_folder / "text"
    )
    request = Inputs(prompt="epic", duration=1, seed=2)
    assert (model.generate(request).samples == text_model.generate(request).samples).all()


def test_requests_in_three_forms(text_model: Model) -> None:
    request = Inputs(prompt="epic", duration=1, seed=2)
    first = text_model.generate(request)
    second = text_model.generate(prompt="epic", duration=1, seed=2)
    third = text_model.generate_batch([{"prompt": "epic", "duration": 1, "seed": 2}])[0]
    assert first.to_bytes() == second.to_bytes() == third.to_bytes()


def test_a_request_or_fields(text_model: Model) -> None:
    with pytest.raises(fanfare.InputError, match="not both"):
        text_model.generate(Inputs(prompt="epic"), duration=3)


def test_shown_in_short(text_model: Model) -> None:
    assert repr(text_model) == "Model('tiny-text', cpu, onnxruntime float32)"
    assert text_model.name == "tiny-text"
