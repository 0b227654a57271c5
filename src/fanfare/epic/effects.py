"""Sounds of trailers, made by synthesis: braam, riser, impact, sub drop, whoosh, reversed cymbal.

Those that lead up to a downbeat come in several lengths; a player takes the shortest that is long
enough, and begins inside it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fanfare.epic.bank import Bank, Made, made
from fanfare.epic.percussion import RATE, band, clock, crash_of, drum, levelled, together

FloatArray = NDArray[np.float32]
LENGTHS_S = (1.0, 2.0, 4.0, 8.0)
BRAAM_KEY = SUB_KEY = 36
"""MIDI pitch at which a braam and a sub drop are made; others are played faster or slower."""


def key_hz(key: float) -> float:
    """Frequency of a MIDI pitch."""
    return float(440 * 2 ** ((key - 69) / 12))


def braam(rng: np.random.Generator, seconds: float = 6.0) -> FloatArray:
    """A blast of low brass: detuned saws an octave and a fifth apart, opening fast, driven hard."""
    t = clock(seconds)
    out = np.zeros_like(t)
    for ratio, strength in ((0.5, 0.7), (1, 1.0), (1.5, 0.35), (2, 0.6), (4, 0.2)):
        for _ in range(4):
            hz = key_hz(BRAAM_KEY) * ratio * 2 ** (rng.normal(0, 6) / 1200)
            phase = (hz * t + rng.uniform()) % 1.0
            out += strength * (2 * phase - 1)
    dark, bright = band(out, 25, 260, 1.5), band(out, 25, 2400, 1.5)
    opening = (1 - np.exp(-t / 0.09)) * np.exp(-t / 1.6)
    shaped = dark + (bright - dark) * opening
    growl = 1 + 0.18 * opening * np.sin(2 * np.pi * 27 * t)
    driven = np.tanh(2.2 * shaped * growl / np.abs(shaped).max())
    envelope = np.minimum(t / 0.03, 1) * np.exp(-np.maximum(t - 0.6, 0) / 2.8)
    return levelled(driven * envelope)


def riser(rng: np.random.Generator, seconds: float) -> FloatArray:
    """Noise whose band climbs, and a cluster of tones that glide up with it."""
    t = clock(seconds)
    place = t / seconds
    noise = rng.standard_normal(len(t)).astype(np.float32)
    centres = np.geomspace(250, 7000, 9)
    out = np.zeros_like(t)
    here = np.log(250) + place * np.log(7000 / 250)
    for centre in centres:
        weight = np.exp(-(((here - np.log(centre)) / 0.42) ** 2))
        out += band(noise, centre / 1.5, centre * 1.5) * weight * (centre / 250) ** 0.25
    glide = np.cumsum(110 * 2 ** (2.5 * place)) / RATE
    for ratio in (1, 1.005, 1.5, 2.01):
        out += 0.12 * np.sin(2 * np.pi * ratio * glide)
    return levelled(out * place**1.8)


def whoosh(rng: np.random.Generator, seconds: float) -> FloatArray:
    """A rush of air whose peak is at the end."""
    t = clock(seconds)
    place = t / seconds
    noise = rng.standard_normal(len(t)).astype(np.float32)
    low, high = band(noise, 120, 900), band(noise, 800, 6000)
    return levelled((low * place**2 + 0.8 * high * place**5) * place)


def impact(rng: np.random.Generator) -> FloatArray:
    """A hit to end a phrase with: drums together, a burst of noise, a long low tone."""
    t = clock(4.0)
    hit = together(rng, [drum(rng, hz, 1.2, glide=0.4) for hz in (34, 45, 61, 88)], 0.004)
    out = np.zeros_like(t)
    n = min(len(hit), len(t))
    out[:n] += hit[:n]
    noise = band(rng.standard_normal(len(t)).astype(np.float32), 90, 5000)
    out += 0.5 * noise * (np.exp(-t / 0.05) + 0.18 * np.exp(-t / 0.7))
    out += (
        0.5
        * np.sin(2 * np.pi * np.cumsum(36 * (1 + 0.6 * np.exp(-t / 0.08))) / RATE)
        * np.exp(-t / 1.1)
    )
    return levelled(np.tanh(1.3 * out))


def sub_drop(seconds: float = 4.0) -> FloatArray:
    """A sine that falls by more than an octave."""
    t = clock(seconds)
    hz = key_hz(SUB_KEY - 12) * (1 + 1.6 * np.exp(-t / 0.5))
    tone = np.sin(2 * np.pi * np.cumsum(hz) / RATE)
    return levelled(np.tanh(1.5 * tone) * np.minimum(t / 0.01, 1) * np.exp(-t / 1.7))


def reverse(crash: FloatArray, seconds: float) -> FloatArray:
    """A cymbal played backwards, stretched to the length wanted."""
    n = int(seconds * RATE)
    tail = band(crash, 250, 9000)
    grown = np.tile(tail[-RATE // 2 :], 1 + max(n - len(tail), 0) // (RATE // 2) + 1)
    whole = np.concatenate([tail, grown])[:n] if n > len(tail) else tail[:n]
    envelope = np.exp(-np.arange(n) / RATE / (seconds / 3.2))
    return levelled(whole[::-1] * envelope[::-1], 0.8)


def effects(bank: Bank) -> dict[str, list[Made]]:
    """All effects."""
    rng = np.random.default_rng(11)
    crash = crash_of(bank)
    return {
        "braam": [made(braam(rng), BRAAM_KEY, release_s=0.9) for _ in range(3)],
        "riser": [made(riser(rng, s), rises=True, release_s=0.08) for s in LENGTHS_S],
        "impact": [made(impact(rng), release_s=4.0) for _ in range(3)],
        "sub_drop": [made(sub_drop(), SUB_KEY, release_s=0.6)],
        "whoosh": [made(whoosh(rng, s), rises=True, release_s=0.15) for s in LENGTHS_S[:3]],
        "reverse": [made(reverse(crash, s), rises=True, release_s=0.05) for s in LENGTHS_S],
    }
