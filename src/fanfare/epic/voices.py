"""Score → voices: every note as a stretch of the bank, when and how it sounds. No audio yet.

Plain numpy arrays, so that composing processes can hand them to one that has the device.
V voices, T frames, R sustained roles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fanfare.epic.bank import Bank, Region
from fanfare.epic.listen import HOP, SAMPLE_RATE_HZ
from fanfare.epic.palette import VOICES
from fanfare.epic.score import Note, Role, Score

SUSTAINED: tuple[Role, ...] = ("pad", "bass", "melody", "counter", "arp")
BUSES = (*SUSTAINED, "struck", "drums", "effects")
"""Where voices are summed: what is held, by role; what decays by itself; drums; effects."""
ONE = 1 << 20
"""A sample's width in positions, which are whole numbers: floats have too few digits."""
STROKE_GAINS = {
    "taiko_low": 1.0, "taiko_high": 0.8, "taiko_ensemble": 1.1, "taiko_rim": 0.5, "timpani": 1.1,
    "snare": 0.9, "cymbals": 0.8, "boom": 1.0, "toms": 0.8, "tam_tam": 0.6, "cymbal_swell": 0.6,
    "shaker": 1.1, "anvil": 0.45,
    "braam": 0.75, "riser": 0.7, "impact": 1.0, "sub_drop": 0.7, "whoosh": 0.8, "reverse": 1.6,
}  # fmt: skip
LOUDER = 1.7
"""Amplitude grows by this power of velocity."""
LONGEST_RELEASE_S = 2.5

FLOATS = ("gain", "brightness", "attack", "hold", "decay", "sustain_db", "release")
WHOLES = ("bus", "start", "count", "source", "length", "loop", "position", "step", "off")


@dataclass(frozen=True)
class Voices:
    """The voices of a piece.

    Attributes:
        floats: float32 [V, 7], columns FLOATS; times in samples.
        wholes: int64 [V, 9], columns WHOLES. `start`, `count` and `off` (when the key is let go,
            counted from the start) are samples of the piece; `source`, `length` and `loop` (-1 =
            none) are samples of the bank; `position` and `step` are in ONEs.
        curves: float32 [R, T], expression of the sustained roles.
        n_frames: T.
        level: intensity that the piece is mastered to.
    """

    floats: NDArray[np.float32]
    wholes: NDArray[np.int64]
    curves: NDArray[np.float32]
    n_frames: int
    level: int


def voices(score: Score, bank: Bank) -> Voices:
    """All voices of a score."""
    frames = np.arange(score.n_frames)
    curves = np.ones((len(SUSTAINED), score.n_frames), np.float32)
    for i, role in enumerate(SUSTAINED):
        points = score.curves.get(role)
        if points:
            curves[i] = np.interp(frames, [p[0] for p in points], [p[1] for p in points])
    floats, wholes = [], []
    for note in score.notes:
        region = _region(note, bank)
        if region is None:
            continue
        a, b = _voice(note, region, score)
        if b[2] > 0:
            floats.append(a)
            wholes.append(b)
    return Voices(
        np.asarray(floats, np.float32).reshape(-1, len(FLOATS)),
        np.asarray(wholes, np.int64).reshape(-1, len(WHOLES)),
        curves, score.n_frames, score.brief.intensity,
    )  # fmt: skip


def _region(note: Note, bank: Bank) -> Region | None:
    """The region that plays a note: of several, by length or in turn."""
    name = note.instrument
    if note.articulation == "tremolo" and name in ("strings", "violin", "viola", "cello"):
        name = "tremolo"
    if name not in bank.sounds:
        return None
    regions = bank.regions(name, note.pitch)
    if regions[0].rises:
        wanted = note.length * HOP
        return next((r for r in regions if r.length >= wanted), regions[-1])
    return regions[(note.start * 7 + note.pitch) % len(regions)]


def _voice(note: Note, region: Region, score: Score) -> tuple[tuple[float, ...], tuple[int, ...]]:
    held, is_drum = note.instrument in VOICES, note.role == "drum"
    struck = is_drum or note.role == "effect" or VOICES[note.instrument].plucked
    start = max(0, note.start * HOP + round(note.shift_ms * SAMPLE_RATE_HZ / 1000))
    off = min(note.length, score.n_frames - note.start) * HOP
    if note.articulation == "legato":
        off += SAMPLE_RATE_HZ // 20
    elif is_drum and not region.rises:
        off = region.length * 2  # a stroke rings
    cents = region.cents_per_key * (note.pitch - region.root)
    step = region.rate_hz / SAMPLE_RATE_HZ * 2 ** (cents / 1200)
    position = 0.0
    if region.rises:
        position = max(region.length - off * step, 0.0)
    release = min(region.release_s, LONGEST_RELEASE_S) * (
        0.5 if note.articulation == "short" else 1.0
    )
    release = max(release * SAMPLE_RATE_HZ, 64.0)
    count = int(min(off + 0.7 * release, score.n_frames * HOP - start))
    if region.loop_start is None:
        count = int(min(count, (region.length - position) / step))
    velocity = note.velocity * (1.12 if note.articulation == "accent" else 1.0)
    amplitude = velocity**LOUDER * region.gain
    amplitude *= VOICES[note.instrument].gain ** 2 if held else STROKE_GAINS[note.instrument]
    attack = region.attack_s
    if not struck and note.articulation not in ("accent", "short"):
        attack += 0.07 * (1 - min(note.velocity, 1.0))
    if note.role == "effect" or region.rises:
        attack = max(attack, 0.03)
    sustained = note.role in SUSTAINED and not struck
    bus = (
        note.role if sustained else {"drum": "drums", "effect": "effects"}.get(note.role, "struck")
    )
    loudness = velocity * (score.gain_at(note.role, note.start) if sustained else 1.0)
    floor = 0.5 if is_drum else 0.15
    brightness = min(floor + 0.95 * loudness, 1.0) if held or is_drum else 1.0
    rate = float(SAMPLE_RATE_HZ)
    floats = (
        amplitude, brightness, max(attack * rate, 16.0), region.hold_s * rate,
        max(region.decay_s * rate, 1.0), region.sustain_db, release,
    )  # fmt: skip
    wholes = (
        BUSES.index(bus), start, count, region.start, region.length,
        -1 if region.loop_start is None else round(region.loop_start),
        round(position * ONE), round(step * ONE), off,
    )  # fmt: skip
    return floats, wholes
