"""Separation against the whole of demucs' own road, shift included."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
import torch
from demucs.apply import apply_model

from fanfare.nn.resample import resample_frac
from fanfare.nn.separation import Separator, separate
from fanfare.weights.separator import load_separator
from sounds import RATE_HZ, chord
from stems import SEGMENT_S, STEMS, tiny_network, write_separator


@pytest.fixture(scope="module")
def separator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Separator]:
    file = tmp_path_factory.mktemp("separator") / "tiny.safetensors"
    yield load_separator(write_separator(file, "safetensors"), torch.device("cpu"))
    load_separator.cache_clear()


def wav(duration_s: float, channels: int = 1) -> torch.Tensor:
    return torch.from_numpy(chord(duration_s, channels))


@pytest.mark.parametrize("seed", [0, 1])
def test_equals_demucs_with_the_same_shift(separator: Separator, seed: int) -> None:
    network = tiny_network()
    network.load_state_dict(separator.network.state_dict())
    recording = wav(1.3)
    stereo = resample_frac(recording, RATE_HZ, 44100).expand(2, -1)
    before = random.getstate()
    try:
        random.seed(seed)  # where demucs draws its shift from
        stems = apply_model(network, stereo[None])[0]
    finally:
        random.setstate(before)
    tune = stems[STEMS.index("vocals")] + stems[STEMS.index("other")]
    expected = resample_frac(tune, 44100, RATE_HZ).mean(dim=0, keepdim=True)
    torch.testing.assert_close(separate(separator, recording, RATE_HZ, seed=seed), expected)


def test_depends_on_its_seed_and_on_nothing_else(separator: Separator) -> None:
    recording = wav(0.7)
    random.seed(1)
    torch.manual_seed(1)
    state = random.getstate()
    first = separate(separator, recording, RATE_HZ, seed=1)
    assert random.getstate() == state, "Python's own generator is the caller's"
    random.seed(2)
    torch.manual_seed(2)
    assert torch.equal(separate(separator, recording, RATE_HZ, seed=1), first)
    assert not torch.equal(separate(separator, recording, RATE_HZ, seed=2), first)


def test_channels_are_averaged_and_the_length_is_kept(separator: Separator) -> None:
    stereo = wav(0.6, channels=2)
    made = separate(separator, stereo, RATE_HZ, seed=0)
    mono = separate(separator, stereo.mean(dim=0, keepdim=True), RATE_HZ, seed=0)
    assert torch.equal(made, mono)
    assert made.shape[0] == 1
    assert stereo.shape[1] - made.shape[1] in (0, 1)


def test_what_comes_after_the_stop_does_not_matter(separator: Separator) -> None:
    recording = wav(4.0)
    whole = separate(separator, recording, RATE_HZ, seed=5)
    start = separate(separator, recording, RATE_HZ, seed=5, stop_s=1.0)
    assert start.shape[1] < RATE_HZ * (1.0 + SEGMENT_S + 0.6)
    torch.testing.assert_close(start[:, :RATE_HZ], whole[:, :RATE_HZ], atol=1e-6, rtol=0)
