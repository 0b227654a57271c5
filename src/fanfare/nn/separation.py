"""The tune in a recording: voices and whatever else carries a melody, without drums and bass.

As in the published melody models, which took the chroma of what HTDemucs leaves. C channels,
N samples.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from fanfare.nn.resample import resample_frac

KEPT = ("vocals", "other")
MAX_SHIFT_S = 0.5


@dataclass(frozen=True, eq=False)
class Separator:
    """A network that takes recordings apart.

    Attributes:
        network: an HTDemucs: two channels in, two channels of every stem out.
        sample_rate_hz: what it works at.
        stems: their names, in order; those of KEPT among them.
        window_s: how much it sees at once.
    """

    network: nn.Module
    sample_rate_hz: int
    stems: tuple[str, ...]
    window_s: float

    def __post_init__(self) -> None:
        assert set(KEPT) <= set(self.stems), self.stems


def separate(
    separator: Separator,
    wav: Tensor,
    sample_rate_hz: int,
    *,
    seed: int,
    stop_s: float | None = None,
) -> Tensor:
    """The tune [1, N] of `wav` [C, N], a sample shorter where the rates don't divide it.

    `wav` stays where it is, best on the CPU: only what the network sees at once goes to its device,
    and convolutions there may be less exact than resampling should be.

    The recording is shifted by up to half a second, so that no place in it always lies at the
    edge of what the separator sees at once; `seed` draws by how much, and nothing else is drawn.
    With `stop_s`, only that much is sure to come back; what it needn't hear is not worked on.
    """
    from demucs.apply import TensorChunk, apply_model

    assert wav.dim() == 2, wav.shape
    if stop_s is not None:
        wav = wav[:, : int((stop_s + separator.window_s + MAX_SHIFT_S) * sample_rate_hz)]
    rate_hz = separator.sample_rate_hz
    mono = resample_frac(wav.mean(dim=0, keepdim=True), sample_rate_hz, rate_hz)  # [1, N']
    N = mono.shape[1]
    most = int(MAX_SHIFT_S * rate_hz)
    shift = random.Random(seed).randint(0, most)
    padded = F.pad(mono.expand(2, N)[None], (most, most))  # [1, 2, N' + 2 most]
    shifted = TensorChunk(padded, shift, N + most - shift)
    device = next(separator.network.parameters()).device
    stems = apply_model(separator.network, shifted, shifts=0, device=device)
    stems = stems[0, :, :, most - shift :]  # [stems, 2, N']
    tune = stems[[separator.stems.index(name) for name in KEPT]].sum(dim=0)  # [2, N']
    return resample_frac(tune, rate_hz, sample_rate_hz).mean(dim=0, keepdim=True)
