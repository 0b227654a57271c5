"""Chroma against transformers' filter bank and audiocraft's result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from transformers.audio_utils import chroma_filter_bank

from fanfare.nn.melody import chroma, filter_bank, fit_length, silent_chroma

GOLDEN = Path(__file__).parent.parent / "golden"


def test_filter_bank_equals_transformers() -> None:
    expected = chroma_filter_bank(sampling_rate=32000, num_frequency_bins=16384, num_chroma=12)
    np.testing.assert_allclose(filter_bank(32000, 12), expected, atol=1e-7)


def test_chroma_equals_audiocraft() -> None:
    with np.load(GOLDEN / "melody.npz") as arrays:
        wav = torch.from_numpy(arrays["wav"])
    with np.load(GOLDEN / "audiocraft-melody" / "expected.npz") as arrays:
        expected = arrays["melody_chroma"]
    assert chroma(wav[None], 32000).argmax(dim=1).tolist() == expected.tolist()


def test_a_tone_is_its_pitch_class_in_every_channel_layout() -> None:
    time_s = torch.arange(32000) / 32000
    tone = torch.sin(2 * torch.pi * 440.0 * time_s)  # A, nine semitones above C
    classes = chroma(tone.expand(2, -1), 32000)
    assert classes.shape == (8, 12)
    assert classes.argmax(dim=1).tolist() == [9] * 8


def test_silence_and_short_audio_are_taken() -> None:
    assert torch.equal(chroma(torch.zeros(1, 20000), 32000), silent_chroma(5))
    assert chroma(torch.randn(1, 1), 32000).shape == (5, 12)


def test_fit_length_cuts_and_repeats() -> None:
    frames = torch.eye(12)[:3]
    assert fit_length(frames, 2).argmax(dim=1).tolist() == [0, 1]
    assert fit_length(frames, 7).argmax(dim=1).tolist() == [0, 1, 2, 0, 1, 2, 0]
