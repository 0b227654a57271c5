"""Modules without numbers, made without what torch would load to draw some."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from fanfare.nn.encodec import Encodec, EncodecConfig
from fanfare.nn.t5 import T5Config, T5Encoder
from fanfare.weights.skeleton import skeleton


def test_shapes_and_no_numbers() -> None:
    config = EncodecConfig(sample_rate_hz=1600, ratios=(4, 2), n_codebooks=2)
    state = torch.get_rng_state()
    with skeleton():
        made: list[nn.Module] = [Encodec(config), T5Encoder(T5Config(n_layers=1))]
        made.append(nn.MultiheadAttention(8, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(t.is_meta for module in made for t in module.state_dict().values())
    whole = Encodec(config)
    assert [t.shape for t in made[0].state_dict().values()] == [
        t.shape for t in whole.state_dict().values()
    ]
    assert float(whole.encoder.layers[0].conv.weight.detach().std()) > 0  # drawn again from here on


@pytest.mark.parametrize("of", ["nothing given", "text", "melody"])
def test_music_is_made_without_compiler_and_transformers(
    of: str, text_folder: Path, melody_folder: Path
) -> None:
    weights = {"nothing given": None, "text": str(text_folder), "melody": str(melody_folder)}[of]
    code = f"""
import sys, fanfare
given = [] if {weights!r} is None else [{weights!r}]
fanfare.load(*given, device="cpu").generate(prompt="epic brass", duration=1)
print({{"transformers", "torch._dynamo", "sympy"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
