"""A tiny random HTDemucs in the two layouts that the published one comes in."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import torch
from demucs.htdemucs import HTDemucs
from safetensors.torch import save_file

STEMS = ["drums", "bass", "other", "vocals"]
SEGMENT_S = Fraction(1, 2)
SETTINGS: dict[str, Any] = {
    "channels": 4, "dconv_comp": 2, "t_layers": 1, "t_heads": 4, "segment": SEGMENT_S,
}  # fmt: skip


def tiny_network() -> HTDemucs:
    torch.manual_seed(4)
    return HTDemucs(STEMS, **SETTINGS).eval()


def write_separator(file: Path, layout: Literal["safetensors", "th"], **changes: Any) -> Path:
    """A file like the published one; `changes` replace parts of it."""
    state = {key: value.half() for key, value in tiny_network().state_dict().items()}
    if layout == "th":
        package = {"klass": HTDemucs, "args": (STEMS,), "kwargs": SETTINGS, "state": state}
        torch.save({**package, "training_args": {"lr": 3e-4}, **changes}, file)
        return file
    segment = {"_type": "fraction", "numerator": 1, "denominator": 2}
    metadata = {
        "klass": "demucs.htdemucs.HTDemucs",
        "args": json.dumps([STEMS]),
        "kwargs": json.dumps({**SETTINGS, "segment": segment, "a_setting_of_old": 1}),
        **changes,
    }
    save_file(state, file, metadata)
    return file
