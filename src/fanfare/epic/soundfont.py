"""SoundFont 2 files: which part of which sample sounds for a key and a velocity, and how.

Read for cutting a `Bank` of what the composer's instruments need. Of the format's 60 generators
those are read that a dry, mono player without modulators has a use for.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

ATTENUATION_SCALE = 0.4
"""What players make of a zone's attenuation: the sound cards that fonts were made on did."""

START, END, LOOP_START, LOOP_END, COARSE_START = 0, 1, 2, 3, 4
COARSE_END, COARSE_LOOP_START, COARSE_LOOP_END = 12, 45, 50
PAN, INSTRUMENT, SAMPLE, MODES, ROOT_KEY, SCALE_TUNING = 17, 41, 53, 54, 58, 56
ATTACK, HOLD, DECAY, SUSTAIN, RELEASE = 34, 35, 36, 37, 38
KEYS, VELOCITIES, ATTENUATION, COARSE_TUNE, FINE_TUNE = 43, 44, 48, 51, 52
NOT_ADDED = {KEYS, VELOCITIES, INSTRUMENT, SAMPLE, MODES, ROOT_KEY}
"""Generators that a preset doesn't add to its instrument's."""
DEFAULTS = {ATTACK: -12000, HOLD: -12000, DECAY: -12000, RELEASE: -12000, SCALE_TUNING: 100}

Generators = dict[int, int]


class Header(NamedTuple):
    """A sample's entry: places in samples, rate in Hz, root key, tuning in cents."""

    start: int
    end: int
    loop_start: int
    loop_end: int
    rate_hz: int
    root: int
    cents: int


@dataclass(frozen=True)
class Zone:
    """A sample for a range of keys and velocities; times in seconds, levels in dB below full.

    Attributes:
        loop_start, loop_end: in samples of `wav`; None where it isn't looped.
        cents_per_key: 100 unless the zone follows keys otherwise.
        pan: -1 left … 1 right.
    """

    keys: tuple[int, int]
    velocities: tuple[int, int]
    wav: NDArray[np.float32]
    rate_hz: int
    root: float
    cents_per_key: float
    loop_start: int | None
    loop_end: int | None
    attenuation_db: float
    pan: float
    attack_s: float
    hold_s: float
    decay_s: float
    sustain_db: float
    release_s: float


class SoundFont:
    """An open SoundFont; its samples are read when a preset is asked for.

    Raises:
        ValueError: the file isn't a SoundFont 2.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            head = file.read(12)
            if head[:4] != b"RIFF" or head[8:] != b"sfbk":
                raise ValueError(f"{path} isn't a SoundFont")
            places = dict(_chunks(file.read, file.tell, file.seek, path.stat().st_size))
        self._samples = np.memmap(path, "<i2", "r", places["smpl"][0], (places["smpl"][1] // 2,))
        data = path.read_bytes() if path.stat().st_size < 2**20 else None
        self._tables = {
            name: _part(path, data, *places[name])
            for name in ("phdr", "pbag", "pgen", "inst", "ibag", "igen", "shdr")
        }
        self._headers = [
            Header(*fields[1:8])
            for fields in struct.iter_unpack("<20s5IBbHH", self._tables["shdr"])
        ]
        self._presets = list(struct.iter_unpack("<20s3H3I", self._tables["phdr"]))
        self._instruments = list(struct.iter_unpack("<20sH", self._tables["inst"]))

    def preset(self, bank: int, program: int) -> list[Zone]:
        """All zones of a preset.

        Raises:
            ValueError: the font has no such preset.
        """
        for entry, following in zip(self._presets, self._presets[1:], strict=False):
            if (entry[2], entry[1]) == (bank, program):
                return list(self._zones(entry[3], following[3]))
        raise ValueError(f"the SoundFont has no preset {program} in bank {bank}")

    def _zones(self, first: int, last: int) -> Iterator[Zone]:
        for outer in self._merged("pbag", "pgen", first, last, INSTRUMENT):
            index = outer[INSTRUMENT]
            start, stop = self._instruments[index][1], self._instruments[index + 1][1]
            for inner in self._merged("ibag", "igen", start, stop, SAMPLE):
                zone = self._zone(inner, outer)
                if zone is not None:
                    yield zone

    def _merged(
        self, bags: str, generators: str, first: int, last: int, target: int
    ) -> Iterator[Generators]:
        """The generators of every zone that names a `target`, with those of the global zone."""
        edges = [fields[0] for fields in struct.iter_unpack("<2H", self._tables[bags])]
        common: Generators = {}
        for bag in range(first, last):
            part = self._tables[generators][4 * edges[bag] : 4 * edges[bag + 1]]
            own: Generators = dict(struct.iter_unpack("<Hh", part))
            if target in own:
                yield {**common, **own}
            elif bag == first:
                common = own

    def _zone(self, inner: Generators, outer: Generators) -> Zone | None:
        keys = _overlap(_range(inner.get(KEYS)), _range(outer.get(KEYS)))
        velocities = _overlap(_range(inner.get(VELOCITIES)), _range(outer.get(VELOCITIES)))
        if keys is None or velocities is None:
            return None

        def value(generator: int) -> int:
            own = inner.get(generator, DEFAULTS.get(generator, 0))
            return own + (0 if generator in NOT_ADDED else outer.get(generator, 0))

        header = self._headers[inner[SAMPLE]]
        start = header.start + value(START) + 32768 * value(COARSE_START)
        end = header.end + value(END) + 32768 * value(COARSE_END)
        loop_start = header.loop_start + value(LOOP_START) + 32768 * value(COARSE_LOOP_START)
        loop_end = header.loop_end + value(LOOP_END) + 32768 * value(COARSE_LOOP_END)
        is_looped = value(MODES) in (1, 3) and loop_end - loop_start >= 16
        own_root = inner.get(ROOT_KEY, -1)
        root = header.root if own_root < 0 else own_root
        cents = 100 * value(COARSE_TUNE) + value(FINE_TUNE) + header.cents
        return Zone(
            keys=keys, velocities=velocities,
            wav=self._samples[start:end].astype(np.float32) / 32768.0,
            rate_hz=header.rate_hz, root=root - cents / 100,
            cents_per_key=float(value(SCALE_TUNING)),
            loop_start=loop_start - start if is_looped else None,
            loop_end=loop_end - start if is_looped else None,
            attenuation_db=ATTENUATION_SCALE * value(ATTENUATION) / 10,
            pan=value(PAN) / 500,
            attack_s=_seconds(value(ATTACK)), hold_s=_seconds(value(HOLD)),
            decay_s=_seconds(value(DECAY)), sustain_db=max(value(SUSTAIN), 0) / 10,
            release_s=_seconds(value(RELEASE)),
        )  # fmt: skip


def _chunks(read, tell, seek, size: int) -> Iterator[tuple[str, tuple[int, int]]]:  # type: ignore[no-untyped-def]
    """Name, place and length of all chunks, those inside lists too."""
    while tell() + 8 <= size:
        name, length = struct.unpack("<4sI", read(8))
        if name == b"LIST":
            read(4)
            continue
        yield name.decode("latin-1"), (tell(), length)
        seek(tell() + length + length % 2)


def _part(path: Path, data: bytes | None, start: int, length: int) -> bytes:
    if data is not None:
        return data[start : start + length]
    with path.open("rb") as file:
        file.seek(start)
        return file.read(length)


def _range(value: int | None) -> tuple[int, int]:
    if value is None:
        return 0, 127
    return value & 0x7F, (value >> 8) & 0x7F


def _overlap(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int] | None:
    low, high = max(a[0], b[0]), min(a[1], b[1])
    return (low, high) if low <= high else None


def _seconds(timecents: int) -> float:
    """0 for what is as good as at once."""
    return 0.0 if timecents <= -12000 else float(2 ** (timecents / 1200))
