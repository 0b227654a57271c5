"""Percussion made by synthesis: taiko and their ensembles, toms, sticks, tam-tam, anvil, swells.

A drum is a row of damped partials of a membrane, whose pitch falls as the stroke dies away, and a
short noise of the stick. Every stroke has several variants, so that repeated ones differ; all are
seeded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fanfare.epic.bank import Bank, Made, Region, made
from fanfare.epic.listen import SAMPLE_RATE_HZ

FloatArray = NDArray[np.float32]
RATE = SAMPLE_RATE_HZ
MEMBRANE = (1.0, 1.593, 2.135, 2.295, 2.653, 2.917, 3.5)
"""Partials of an ideal drum head."""
VARIANTS = 4
TOM_HZ = (82.0, 117.0, 165.0)


def clock(seconds: float) -> FloatArray:
    """The time of every sample."""
    return np.asarray(np.arange(int(seconds * RATE)) / RATE, np.float32)


def band(wav: FloatArray, low_hz: float, high_hz: float, slope: float = 2.0) -> FloatArray:
    """What lies between two frequencies, by smooth edges; zero-phase."""
    spectrum = np.fft.rfft(wav)
    hz = np.fft.rfftfreq(len(wav), 1 / RATE)
    rising = 1 / (1 + (low_hz / np.maximum(hz, 1e-3)) ** (2 * slope))
    falling = 1 / (1 + (hz / high_hz) ** (2 * slope))
    return np.asarray(np.fft.irfft(spectrum * np.sqrt(rising * falling), len(wav)), np.float32)


def levelled(wav: FloatArray, peak: float = 0.9) -> FloatArray:
    """Scaled to a peak, its end faded out."""
    wav = np.asarray(wav * (peak / max(float(np.abs(wav).max()), 1e-9)), np.float32)
    n = min(len(wav), RATE // 50)
    wav[-n:] *= np.linspace(1, 0, n, dtype=np.float32)
    return wav


def drum(
    rng: np.random.Generator,
    hz: float,
    decay_s: float,
    *,
    glide: float = 0.12,
    noise: float = 0.25,
    noise_hz: tuple[float, float] = (300.0, 4000.0),
    seconds: float | None = None,
) -> FloatArray:
    """One stroke on a membrane that sounds at `hz` and takes `decay_s` to fall by 20 dB or so."""
    t = clock(seconds or min(4.5 * decay_s, 4.0))
    out = np.zeros_like(t)
    fall = 1 + glide * np.exp(-t / 0.035)
    phase = 2 * np.pi * np.cumsum(fall) * hz / RATE
    for i, ratio in enumerate(MEMBRANE):
        strength = rng.uniform(0.5, 1.0) / (1 + 0.9 * i)
        partial = np.sin(ratio * rng.uniform(0.99, 1.01) * phase + rng.uniform(0, 0.5))
        out += strength * partial * np.exp(-t * (1 + 0.7 * i) * 2.3 / decay_s)
    stick = band(rng.standard_normal(len(t)).astype(np.float32), *noise_hz)
    out += noise * 3 * stick * np.exp(-t / rng.uniform(0.006, 0.012))
    skin = band(rng.standard_normal(len(t)).astype(np.float32), 0.8 * hz, 6 * hz)
    out += noise * skin * np.exp(-t * 4 / decay_s)
    attack = np.minimum(t / 0.0015, 1)
    return levelled(np.tanh(1.6 * out / np.abs(out).max()) * attack)


def together(
    rng: np.random.Generator, strokes: Sequence[FloatArray], spread_s: float
) -> FloatArray:
    """Several players' strokes, not quite at once."""
    delays = np.abs(rng.normal(0, spread_s, len(strokes)))
    delays -= delays.min()
    n = max(len(wav) for wav in strokes) + int(6 * spread_s * RATE) + 1
    out = np.zeros(n, np.float32)
    for delay, wav in zip(delays, strokes, strict=True):
        start = int(min(delay, 5 * spread_s) * RATE)
        out[start : start + len(wav)] += wav * rng.uniform(0.6, 1.0)
    return levelled(np.tanh(0.7 * out / len(strokes) ** 0.5))


def _ensemble(rng: np.random.Generator) -> FloatArray:
    players = [drum(rng, rng.uniform(52, 74), rng.uniform(0.7, 1.1)) for _ in range(5)]
    players += [drum(rng, rng.uniform(105, 150), 0.45, noise=0.4) for _ in range(3)]
    players.append(drum(rng, 41, 1.3, glide=0.3, noise=0.1))
    return together(rng, players, 0.007)


def _rim(rng: np.random.Generator) -> FloatArray:
    t = clock(0.35)
    out = np.zeros_like(t)
    for hz in (820, 1430, 2210, 3350, 4900):
        partial = np.sin(2 * np.pi * hz * rng.uniform(0.97, 1.03) * t)
        out += rng.uniform(0.4, 1.0) * partial * np.exp(-t / rng.uniform(0.012, 0.03))
    out += 0.4 * rng.standard_normal(len(t)).astype(np.float32) * np.exp(-t / 0.004)
    return levelled(out)


def _tam_tam(rng: np.random.Generator) -> FloatArray:
    """Hundreds of partials: the low ones at once, the high ones blooming later."""
    t = clock(5.5)
    out = np.zeros_like(t)
    for hz in np.geomspace(70, 5200, 130) * rng.uniform(0.96, 1.04, 130):
        bloom = 0.02 + 0.25 * (hz / 3000) ** 0.5
        decay = 2.6 / (1 + hz / 1800)
        shape = (1 - np.exp(-t / bloom)) * np.exp(-t / decay)
        out += np.sin(2 * np.pi * hz * t + rng.uniform(0, 6.3)) * shape / (1 + hz / 900)
    return levelled(out, 0.8)


def _anvil(rng: np.random.Generator) -> FloatArray:
    t = clock(1.8)
    out = np.zeros_like(t)
    for hz, strength in ((1180, 0.8), (2470, 1.0), (3920, 0.7), (5310, 0.6), (7640, 0.4)):
        for side in (0.9985, 1.0015):  # two near partials beat
            partial = np.sin(2 * np.pi * hz * side * rng.uniform(0.995, 1.005) * t)
            out += strength * partial * np.exp(-t * (1 + hz / 5000) / 0.35)
    out += 0.6 * rng.standard_normal(len(t)).astype(np.float32) * np.exp(-t / 0.002)
    return levelled(out, 0.8)


def crash_of(bank: Bank) -> FloatArray:
    """The font's crash cymbal at 32 kHz."""
    region = bank.sounds["cymbals"][0]
    wav = bank.samples[region.start : region.start + region.length]
    n = int(len(wav) * RATE / region.rate_hz)
    return np.interp(np.arange(n) * region.rate_hz / RATE, np.arange(len(wav)), wav).astype(
        np.float32
    )


def swell(rng: np.random.Generator, crash: FloatArray, seconds: float) -> FloatArray:
    """A roll on a cymbal that grows until its end."""
    out = np.zeros(int((seconds + 0.5) * RATE), np.float32)
    soft = band(crash, 200, 6500)[:RATE]
    for at in np.arange(0, seconds, 1 / 13):
        start = int((at + rng.uniform(0, 0.02)) * RATE)
        wav = soft[: len(out) - start]
        out[start : start + len(wav)] += wav * rng.uniform(0.7, 1.0) * (at / seconds) ** 2.2
    return levelled(out[: int(seconds * RATE)], 0.85)


def strokes(bank: Bank) -> dict[str, list[Made]]:
    """All synthesised strokes; toms follow the keys 0, 1, 2."""
    rng = np.random.default_rng(7)
    crash = crash_of(bank)

    def some(make: object, n: int = VARIANTS) -> list[Made]:
        return [made(make(rng), release_s=4.0) for _ in range(n)]  # type: ignore[operator]

    toms = []
    for key, hz in enumerate(TOM_HZ):
        for one in some(lambda r, hz=hz: drum(r, hz * r.uniform(0.98, 1.02), 0.5, glide=0.2), 2):
            toms.append(Made(one.wav, _for_keys(one.region, key)))
    return {
        "taiko_low": some(lambda r: drum(r, r.uniform(60, 68), 0.85)),
        "taiko_high": some(lambda r: drum(r, r.uniform(128, 142), 0.4, noise=0.4)),
        "taiko_ensemble": some(_ensemble, 6),
        "taiko_rim": some(_rim, 5),
        "boom": some(
            lambda r: drum(r, r.uniform(38, 43), 1.6, glide=0.25, noise=0.08, noise_hz=(60, 900))
        ),
        "toms": toms,
        "tam_tam": some(_tam_tam, 2),
        "anvil": some(_anvil, 3),
        "cymbal_swell": [
            made(swell(rng, crash, seconds), rises=True, release_s=0.12)
            for seconds in (1.0, 2.0, 4.0, 8.0)
        ],
    }


def _for_keys(region: Region, key: int) -> Region:
    high = 127 if key == len(TOM_HZ) - 1 else key
    return replace(region, low=key, high=high)
