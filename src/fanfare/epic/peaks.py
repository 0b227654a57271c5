"""Peaks: what is tonal in originals, as a codec's partials are to play it.

In spectra of 128 ms, peaks that stand out from what surrounds them are partials; a window of half
that length bounds their loudness, so that they don't sound before their attack.
B batch, T frames, n oscillators.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from fanfare.epic.listen import HOP, SAMPLE_RATE_HZ
from fanfare.nn.partials import FLOOR, PartialsConfig

LONG, SHORT = 4096, 2048  # samples
EDGE_FRAMES = 3
"""At either end of an excerpt, whose windows reach beyond it."""
AROUND = 12  # bins to either side: 94 Hz
PROMINENCE = 1.3  # nepers above the mean around
RANGE = 6.0  # nepers below the loudest partial of the frame
LEAST_LOUDNESS = 1.0
PRESENCE_WEIGHT, LOUDNESS_WEIGHT = 4.0, 0.1


def peaks(x: Tensor, config: PartialsConfig) -> Tensor:
    """Every oscillator's loudness in audio [B, HOP * T], [B, T, n]; 0 where there is no partial."""
    B, T = len(x), x.shape[1] // HOP
    margin = (LONG - HOP) // 2
    frames = F.pad(x, (margin, margin)).unfold(1, LONG, HOP)  # [B, T, LONG]
    hz_per_bin = SAMPLE_RATE_HZ / LONG
    low = int(config.lowest_hz * 0.95 / hz_per_bin)
    high = min(int(config.highest_hz * 1.03 / hz_per_bin), LONG // 2 - AROUND)
    long = magnitudes(frames, LONG)[..., low - AROUND - 1 : high + AROUND + 1].log()
    inner = (LONG - SHORT) // 2
    short = magnitudes(frames[..., inner:-inner], SHORT)[..., low - 1 : high + 1].log()
    around = F.avg_pool1d(long, 2 * AROUND + 1, 1)
    before, here, after = (
        long[..., AROUND + d : long.shape[-1] - AROUND + d] for d in (-1, 0, 1)
    )  # fmt: skip
    # The parabola through the logarithms of three bins.
    bend = (before - 2 * here + after).clamp(max=-1e-6)
    offset = (0.5 * (before - after) / bend).clamp(-0.5, 0.5)  # bins
    height = here - 0.25 * (before - after) * offset
    loudness = torch.minimum(height, short.clamp(min=height - 4)) - math.log(FLOOR)
    bins = torch.arange(here.shape[-1], device=x.device) + low - 1 + offset
    steps = config.per_octave * torch.log2((bins * hz_per_bin).clamp(min=1) / config.lowest_hz)
    place = steps.round().long()
    is_partial = (here > before) & (here >= after) & (here - around > PROMINENCE)
    is_partial &= (place >= 0) & (place < config.n) & (loudness > LEAST_LOUDNESS)
    found = x.new_zeros(B, T, config.n).scatter_reduce_(
        2, place.clamp(0, config.n - 1), loudness.where(is_partial, 0), "amax"
    )
    return found.where(found > found.amax(dim=2, keepdim=True) - RANGE, 0)


def magnitudes(frames: Tensor, n: int) -> Tensor:
    """Amplitudes [B, T, bins of LONG] of what is in windows [B, T, n]; a sine of 1 has 1."""
    window = torch.hann_window(n, device=frames.device)
    spectrum: Tensor = torch.fft.rfft(frames * (2 * window / window.sum()), LONG)
    return spectrum.abs().clamp(min=1e-8)


def partials_loss(logits: Tensor, loudness: Tensor, wanted: Tensor) -> Tensor:
    """How far what a codec says of its partials [B, T, n] is from what `peaks` found.

    Cross-entropy of which there are, and the distance in loudness of those.
    """
    logits, loudness, wanted = (
        x[:, EDGE_FRAMES:-EDGE_FRAMES] for x in (logits, loudness, wanted)
    )  # fmt: skip
    sounds = (wanted > 0).float()
    presence = F.binary_cross_entropy_with_logits(logits, sounds)
    distance = ((loudness - wanted).abs() * sounds).sum() / sounds.sum().clamp(min=1)
    return PRESENCE_WEIGHT * presence + LOUDNESS_WEIGHT * distance
