"""Options of T5: those that are read give what transformers computes; others are refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from fanfare.errors import CheckpointError
from fanfare.weights.text import load_text_folder
from layouts import Shape, text_encoder, write_text_folder


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("pickled", [False, True])
@torch.inference_mode()
def test_both_kinds_of_feed_forward(tmp_path: Path, gated: bool, pickled: bool) -> None:
    shape = Shape(text_dim=12, gated=gated)
    write_text_folder(tmp_path, shape)
    peer = text_encoder(shape).eval()
    if pickled:
        # The embedding is there under both of its names.
        torch.save(peer.state_dict(), tmp_path / "pytorch_model.bin")
        (tmp_path / "model.safetensors").unlink()
    ours = load_text_folder(tmp_path, device="cpu")
    ids = torch.tensor([[3, 4, 1]])  # "epic brass", the end
    states = ours.encode("epic brass")
    assert states is not None
    torch.testing.assert_close(states, peer(input_ids=ids).last_hidden_state[0])


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("feed_forward_proj", "gated-silu"),
        ("feed_forward_proj", "gelu"),
        ("is_gated_act", True),
        ("dense_act_fn", "gelu_new"),
        ("model_type", "umt5"),
        ("eos_token_id", 99),
        ("layer_norm_epsilon", "x"),
    ],
)
def test_options_that_are_refused(tmp_path: Path, key: str, value: object) -> None:
    write_text_folder(tmp_path, Shape())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, key: value}))
    with pytest.raises(CheckpointError, match=rf"{key} = "):
        load_text_folder(tmp_path, device="cpu")
