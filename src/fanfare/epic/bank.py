"""Bank: the sounds that scores are played with, cut from a SoundFont and packed small.

One flat row of samples and a table of regions: which stretch of it sounds for which instrument
and keys. `python -m fanfare.epic.bank FILE` cuts it from the FluidR3 GM SoundFont (MIT licence,
Debian's package `fluid-soundfont-gm`): mono, at most 32 kHz, 12 bits below each sample's peak, a
fourteenth of the font. What the font has no good sounds for, `percussion` and `effects` synthesise
when a bank is opened.
"""

from __future__ import annotations

import argparse
import json
import lzma
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fanfare.epic.listen import SAMPLE_RATE_HZ
from fanfare.epic.palette import STROKES, VOICES
from fanfare.epic.soundfont import SoundFont, Zone

SOUNDFONT = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
PACKAGE = "fluid-soundfont-gm"
FORMAT = 1
PEAK = 2047
"""12 bits with the sign: what is lost lies 66 dB below a sample's peak or more."""
LAYER = 100
"""Velocity whose zones are taken. The font's layers differ in brightness alone, which players make
of velocity and expression by themselves."""
SAMPLED_STROKES = ("timpani", "snare", "cymbals", "shaker")
"""Strokes for which the font's samples are good; the other ones are synthesised."""
LONGEST_S = 6.0
GUARD = 8
"""Samples after every stretch, so that interpolation may read past its end."""


@dataclass(frozen=True)
class Region:
    """A stretch of the bank for a range of keys.

    Attributes:
        start, length: where it is, in samples.
        rate_hz: of the stretch.
        root: key (fractional) at which it sounds as it is.
        cents_per_key: 100, or 0 where keys only choose.
        loop_start: from here to the end it repeats, counted from `start`; None = it ends.
        gain: factor on amplitude.
        attack_s, hold_s, decay_s, release_s: its envelope; the decay is 100 dB long.
        sustain_db: how far below full the decay stops.
        rises: it is as long as wanted at its end: a shorter note begins later in it.
    """

    low: int
    high: int
    start: int
    length: int
    rate_hz: float
    root: float
    cents_per_key: float = 100.0
    loop_start: float | None = None
    gain: float = 1.0
    attack_s: float = 0.0
    hold_s: float = 0.0
    decay_s: float = 0.0
    sustain_db: float = 0.0
    release_s: float = 0.3
    rises: bool = False


@dataclass(frozen=True)
class Bank:
    """Samples, float32 in ±1, and the regions of every sound by its name."""

    samples: NDArray[np.float32]
    sounds: Mapping[str, tuple[Region, ...]]

    def regions(self, name: str, key: int) -> list[Region]:
        """Those of a sound that a key chooses among; the nearest beyond its range."""
        regions = self.sounds[name]
        fitting = [r for r in regions if r.low <= key <= r.high]
        if fitting:
            return fitting
        nearest = min(regions, key=lambda r: max(r.low - key, key - r.high))
        return [r for r in regions if (r.low, r.high) == (nearest.low, nearest.high)]

    def with_sounds(self, made: Mapping[str, Iterable[Made]]) -> Bank:
        """The bank and further sounds."""
        parts, sounds, end = [self.samples], dict(self.sounds), len(self.samples)
        for name, variants in made.items():
            regions = []
            for one in variants:
                regions.append(replace(one.region, start=end, length=len(one.wav)))
                parts += [one.wav.astype(np.float32), np.zeros(GUARD, np.float32)]
                end += len(one.wav) + GUARD
            sounds[name] = tuple(regions)
        return Bank(np.concatenate(parts), sounds)


@dataclass(frozen=True)
class Made:
    """A sound made by synthesis; place and length of its region are still to be filled in."""

    wav: NDArray[np.float32]
    region: Region


def made(wav: NDArray[np.float32], root: int | None = None, **settings: float | bool) -> Made:
    """A sound for all keys; `root` is the key at which it sounds as it is, if it follows keys."""
    region = Region(
        0, 127, 0, 0, SAMPLE_RATE_HZ, float(root or 0),
        cents_per_key=100.0 if root is not None else 0.0,
    )  # fmt: skip
    return Made(np.asarray(wav, np.float32), replace(region, **settings))  # type: ignore[arg-type]


def cut(font: SoundFont) -> Bank:
    """The bank of a General MIDI font."""
    wanted = {name: (0, v.program, v.low, v.high) for name, v in VOICES.items()}
    for name in SAMPLED_STROKES:
        bank, program, key = STROKES[name]
        wanted[name] = (bank, program, *((33, 57) if name == "timpani" else (key, key)))
    parts: list[NDArray[np.float32]] = []
    sounds: dict[str, tuple[Region, ...]] = {}
    places: dict[tuple[int, float, bytes], int] = {}
    end = 0
    for name, (bank, program, low, high) in wanted.items():
        regions = []
        for zone in _chosen(font.preset(bank, program), low, high):
            wav, ratio = _at_most_32_khz(zone)
            same = (len(wav), ratio, wav[: len(wav) // 2].tobytes())
            if same not in places:
                places[same] = end
                parts += [wav, np.zeros(GUARD, np.float32)]
                end += len(wav) + GUARD
            regions.append(_region(zone, places[same], len(wav), ratio))
        sounds[name] = tuple(regions)
    return Bank(np.concatenate(parts), sounds)


def _chosen(zones: list[Zone], low: int, high: int) -> list[Zone]:
    """One zone for every key of a range: of the middle velocities, and of two channels the left.

    Summed, both channels of a recording with two microphones would cancel here and there.
    """
    chosen: dict[tuple[int, int], Zone] = {}
    for zone in sorted(zones, key=lambda zone: zone.pan):
        fits = zone.velocities[0] <= LAYER <= zone.velocities[1]
        if fits and zone.keys[0] <= high and zone.keys[1] >= low:
            chosen.setdefault(zone.keys, zone)
    return [chosen[keys] for keys in sorted(chosen)]


def _at_most_32_khz(zone: Zone) -> tuple[NDArray[np.float32], float]:
    """A zone's sound at 32 kHz or less, and its rate as a share of the zone's.

    The rate is bent by a hair, so that a loop is a whole number of samples long. Behind a loop's
    end nothing is kept; what doesn't loop fades out after some seconds.
    """
    import soxr

    ratio = min(1.0, SAMPLE_RATE_HZ / zone.rate_hz)
    if zone.loop_start is not None and zone.loop_end is not None:
        length = zone.loop_end - zone.loop_start
        ratio = max(int(length * ratio), 8) / length
        # The loop goes on for a while, so that resampling doesn't hear an end in it.
        reps = -(-4096 // length)
        loop = np.tile(zone.wav[zone.loop_start : zone.loop_end], reps)
        wav, end = np.concatenate([zone.wav[: zone.loop_end], loop]), zone.loop_end
    else:
        wav, end = zone.wav[: int(LONGEST_S * zone.rate_hz)].copy(), len(zone.wav)
        fade = min(len(wav), zone.rate_hz // 4)
        if len(wav) < len(zone.wav):
            wav[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
        end = len(wav)
    if ratio < 1:
        wav = soxr.resample(wav, zone.rate_hz, zone.rate_hz * ratio, quality="VHQ")
    keep = round(end * ratio) + (GUARD if zone.loop_start is not None else 0)
    return np.asarray(wav[:keep], np.float32), ratio


def _region(zone: Zone, start: int, length: int, ratio: float) -> Region:
    loop_start = None if zone.loop_start is None else zone.loop_start * ratio
    if zone.loop_start is not None and zone.loop_end is not None:
        # Exactly a whole number of samples, wherever between two samples the loop begins.
        assert loop_start is not None
        length = round(loop_start + (zone.loop_end - zone.loop_start) * ratio)
        loop_start = length - round((zone.loop_end - zone.loop_start) * ratio)
    return Region(
        low=zone.keys[0], high=zone.keys[1], start=start, length=length,
        rate_hz=zone.rate_hz * ratio, root=zone.root, cents_per_key=zone.cents_per_key,
        loop_start=loop_start, gain=10 ** (-zone.attenuation_db / 20), attack_s=zone.attack_s,
        hold_s=zone.hold_s, decay_s=zone.decay_s, sustain_db=zone.sustain_db,
        release_s=min(max(zone.release_s, 0.03), 4.0),
    )  # fmt: skip


def save(bank: Bank, path: Path) -> None:
    """Writes a bank: a line of JSON, then the packed samples."""
    sounds = {name: [asdict(r) for r in regions] for name, regions in bank.sounds.items()}
    stretches = sorted({(r.start, r.length) for rs in bank.sounds.values() for r in rs})
    ends = [start for start, _ in stretches[1:]] + [len(bank.samples)]
    peaks = [
        float(np.abs(bank.samples[a:b]).max()) for (a, _), b in zip(stretches, ends, strict=True)
    ]
    values = np.concatenate(
        [
            np.rint(bank.samples[a:b] / max(peak, 1e-9) * PEAK).astype(np.int16)
            for (a, _), b, peak in zip(stretches, ends, peaks, strict=True)
        ]
    )
    head = {"format": FORMAT, "sounds": sounds, "starts": [a for a, _ in stretches], "peaks": peaks}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(json.dumps(head).encode() + b"\n" + pack(values))


def load(path: Path) -> Bank:
    """Opens a bank that `save` wrote.

    Raises:
        ValueError: it is no bank, or of another version.
        FileNotFoundError: there is none.
    """
    line, _, packed = path.read_bytes().partition(b"\n")
    head = json.loads(line)
    if head.get("format") != FORMAT:
        raise ValueError(f"{path}: format {head.get('format')!r} isn't known; cut the bank again")
    samples = unpack(packed).astype(np.float32)
    starts = [*head["starts"], len(samples)]
    for a, b, peak in zip(starts, starts[1:], head["peaks"], strict=False):
        samples[a:b] *= peak / PEAK
    sounds = {name: tuple(Region(**r) for r in regions) for name, regions in head["sounds"].items()}
    return Bank(samples, sounds)


def ensure(path: Path) -> Path:
    """Cuts the bank from the system's SoundFont, where it isn't there yet.

    Raises:
        SystemExit: there is no SoundFont either; it says what to install.
    """
    if not path.is_file():
        if not SOUNDFONT.is_file():
            raise SystemExit(f"neither {path} nor {SOUNDFONT}: apt-get install {PACKAGE}")
        save(cut(SoundFont(SOUNDFONT)), path)
    return path


def pack(values: NDArray[np.int16]) -> bytes:
    """Numbers of 12 bits, small: second differences, low and high bytes apart, LZMA."""
    wide = values.astype(np.int32)
    residual = np.diff(wide, n=2, prepend=[0, 0])
    zigzag = ((residual << 1) ^ (residual >> 31)).astype(np.uint16)
    planes = (zigzag & 0xFF).astype(np.uint8).tobytes() + (zigzag >> 8).astype(np.uint8).tobytes()
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "lc": 0, "lp": 0, "pb": 0}]
    return lzma.compress(planes, format=lzma.FORMAT_XZ, filters=filters)


def unpack(data: bytes) -> NDArray[np.int16]:
    """The inverse of `pack`."""
    planes = np.frombuffer(lzma.decompress(data), np.uint8).astype(np.int32)
    low, high = planes[: len(planes) // 2], planes[len(planes) // 2 :]
    zigzag = low | (high << 8)
    residual = (zigzag >> 1) ^ -(zigzag & 1)
    return np.asarray(residual.cumsum().cumsum(), np.int64).astype(np.int16)


def main() -> None:
    """Cuts the bank."""
    parser = argparse.ArgumentParser(description="Cut epic-mini's sounds from a SoundFont.")
    parser.add_argument("target", type=Path)
    parser.add_argument("--soundfont", type=Path, default=SOUNDFONT)
    options = parser.parse_args()
    if not options.soundfont.is_file():
        parser.error(f"{options.soundfont} isn't there: apt-get install {PACKAGE}")
    bank = cut(SoundFont(options.soundfont))
    save(bank, options.target)
    print(
        f"{options.target}: {len(bank.sounds)} sounds, {len(bank.samples) / 32000:.0f} s,"
        f" {options.target.stat().st_size / 2**20:.1f} MiB"
    )


if __name__ == "__main__":
    main()
