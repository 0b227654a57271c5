"""Splitting sound into bands, and levelling them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from fanfare.nn.bands import (
    MultiBandProcessor,
    ProcessorConfig,
    lowpass_filters,
    match_bands,
    split_bands,
)

RATE_HZ = 32000


@pytest.mark.parametrize(("n_bands", "taps"), [(8, 751), (32, 3509)])
def test_filters_are_as_long_as_the_published_ones(n_bands: int, taps: int) -> None:
    filters = lowpass_filters(n_bands, RATE_HZ)
    assert filters.shape == (n_bands - 1, taps)
    torch.testing.assert_close(filters, filters.flip(1))
    torch.testing.assert_close(filters.sum(dim=1), torch.ones(n_bands - 1))


@pytest.mark.parametrize("n_samples", [1, 100, 4001])
def test_bands_add_up_to_the_sound(n_samples: int) -> None:
    x = torch.randn(n_samples, generator=torch.Generator().manual_seed(1))
    bands = list(split_bands(x, lowpass_filters(8, RATE_HZ)))
    assert len(bands) == 8
    torch.testing.assert_close(torch.stack(bands).sum(dim=0), x, atol=1e-5, rtol=0)


def test_a_split_is_a_convolution_with_the_ends_held() -> None:
    x = torch.randn(3000, generator=torch.Generator().manual_seed(1))
    filters = lowpass_filters(8, RATE_HZ)
    held = torch.nn.functional.pad(x[None], (375, 375), mode="replicate")
    lows = torch.nn.functional.conv1d(held[None], filters[:, None])[0]  # [7, N]
    expected = torch.diff(torch.cat([torch.zeros(1, 3000), lows, x[None]]), dim=0)
    bands = torch.stack(list(split_bands(x, filters)))
    torch.testing.assert_close(bands, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("hz", "band"), [(50.0, 0), (900.0, 2), (15000.0, 7)])
def test_tones_land_in_their_band(hz: float, band: int) -> None:
    # Edges of eight bands up to 16 kHz: 259, 613, 1100, 1766, 2679, 3930, ... Hz and so on.
    x = torch.sin(2 * math.pi * hz * torch.arange(RATE_HZ) / RATE_HZ)
    powers = [float(part.square().mean()) for part in split_bands(x, lowpass_filters(8, RATE_HZ))]
    assert max(range(8), key=powers.__getitem__) == band
    assert powers[band] > 0.9 * sum(powers)


def test_matching_takes_over_levels_and_keeps_silence() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(8000, generator=generator)
    reference = torch.randn(8001, generator=generator).diff() / 20  # quiet, brighter than `x`
    matched = match_bands(x, reference, RATE_HZ)
    filters = lowpass_filters(32, RATE_HZ)
    pairs = zip(split_bands(matched, filters), split_bands(reference, filters), strict=True)
    for got, wanted in pairs:
        assert float(got.std()) == pytest.approx(float(wanted.std()), rel=0.2)
    silence = torch.zeros(8000)
    assert (match_bands(x, silence, RATE_HZ) == 0).all()
    assert (match_bands(silence, reference, RATE_HZ) == 0).all()


def test_the_processor_levels_each_band_on_its_own() -> None:
    """The gain is (deviation / power of the target) to a power, and the mean is put back."""
    processor = MultiBandProcessor(ProcessorConfig(2, (0.5, 1.0)), RATE_HZ)
    processor.counts.fill_(4)
    processor.sum_x.copy_(torch.tensor([2.0, 0.0]))
    processor.sum_x2.copy_(torch.tensor([65.0, 16.0]))  # deviations 4 and 2
    processor.sum_target_x2.copy_(torch.tensor([4.0, 16.0]))  # 1 and 4
    processor.filters.copy_(lowpass_filters(2, RATE_HZ)[:, None])
    torch.testing.assert_close(processor.gain, torch.tensor([2.0, 0.5]))
    x = torch.randn(2000, generator=torch.Generator().manual_seed(1))
    low, high = split_bands(x, processor.filters[:, 0])
    torch.testing.assert_close(processor(x), 2 * low + 0.5 * high + 0.5)


@pytest.mark.parametrize(
    "values",
    [
        (1, 1.0), (1000, 1.0), (8, (1.0, 2.0)), (2, "x"), (2, None), (2, 1e9), (2, float("nan")),
        (2, (1.0, "x")), (2, True),
    ],
)  # fmt: skip
def test_processors_that_cannot_be(values: tuple[int, Any]) -> None:
    with pytest.raises(ValueError, match=r"n_bands|power_std"):
        ProcessorConfig(*values)
