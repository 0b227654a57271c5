"""A text encoder in half the memory says the same."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from fanfare.nn.text import TextEncoder
from fanfare.weights.text import load_text_folder

GOLDEN = Path(__file__).parent.parent / "golden"
PROMPT = "epic orchestral battle music with taiko drums"


def n_bytes(text: TextEncoder) -> int:
    tensors = {t.data_ptr(): t.nbytes for t in text.model.state_dict().values()}
    return sum(tensors.values())


def test_half_the_memory() -> None:
    text = load_text_folder(GOLDEN / "t5-base", device="cpu")
    before, wide = text.encode(PROMPT), n_bytes(text)
    text.narrow()
    text.narrow()  # again is nothing
    after = text.encode(PROMPT)
    assert before is not None
    assert after is not None
    assert n_bytes(text) < 0.52 * wide
    assert after.dtype == torch.float32
    # Of a random encoder, whose attention is sharp: a single matrix may change it by 0.4 %.
    assert 0 < float((after - before).norm()) < 1e-2 * float(before.norm())


def test_what_float16_cannot_hold_stays() -> None:
    text = load_text_folder(GOLDEN / "t5-base", device="cpu")
    wide = next(m for m in text.model.modules() if isinstance(m, nn.Linear))
    with torch.no_grad():
        wide.weight[0, 0] = 1e5
    text.narrow()
    assert wide.weight.dtype == torch.float32
    assert float(wide.weight[0, 0]) == 1e5
    assert all(t.isfinite().all() for t in text.model.state_dict().values())
