"""SoundFonts are read as they say, and banks keep what sounds."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from fanfare.epic import bank as bank_file
from fanfare.epic.bank import Bank, Region, made, pack, unpack
from fanfare.epic.soundfont import SoundFont, Zone

RATE = 44100


def _chunk(name: bytes, data: bytes) -> bytes:
    return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def _generators(values: dict[int, int]) -> bytes:
    return b"".join(struct.pack("<HH", key, value & 0xFFFF) for key, value in values.items())


def write_font(path: Path) -> np.ndarray:
    """A font of one preset whose two zones share a looped sine, the lower one 6 dB quieter."""
    wav = np.round(20000 * np.sin(2 * np.pi * np.arange(2000) / 100)).astype("<i2")
    global_zone = _generators({38: 1200})  # releases take two seconds
    low = _generators({43: 0 | 59 << 8, 48: 150, 54: 1, 53: 0})
    high = _generators({43: 60 | 127 << 8, 58: 64, 54: 1, 53: 0})
    igen = global_zone + low + high + _generators({0: 0})
    bags = [0, 1, 1 + 4, 1 + 4 + 4]
    tables = {
        b"phdr": struct.pack("<20s3H3I", b"one", 5, 0, 0, 0, 0, 0)
        + struct.pack("<20s3H3I", b"EOP", 0, 0, 1, 0, 0, 0),
        b"pbag": struct.pack("<4H", 0, 0, 1, 0),
        b"pmod": b"",
        b"pgen": _generators({41: 0, 0: 0}),
        b"inst": struct.pack("<20sH20sH", b"one", 0, b"EOI", 3),
        b"ibag": b"".join(struct.pack("<2H", bag, 0) for bag in bags),
        b"imod": b"",
        b"igen": igen,
        b"shdr": struct.pack("<20s5IBbHH", b"sine", 0, 2000, 1000, 1900, RATE, 69, -10, 0, 1),
    }
    sample_list = b"sdta" + _chunk(b"smpl", wav.tobytes())
    tables_list = b"pdta" + b"".join(_chunk(name, data) for name, data in tables.items())
    body = b"sfbk" + _chunk(b"LIST", sample_list) + _chunk(b"LIST", tables_list)
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    return wav.astype(np.float32) / 32768


def test_a_preset_has_the_zones_of_its_instrument(tmp_path: Path) -> None:
    wav = write_font(tmp_path / "a.sf2")
    low, high = SoundFont(tmp_path / "a.sf2").preset(0, 5)
    assert (low.keys, high.keys) == ((0, 59), (60, 127))
    assert low.attenuation_db == pytest.approx(6.0)
    assert low.root == pytest.approx(69.1)  # flat by 10 cents: sounds as it is a little higher
    assert high.root == pytest.approx(64.1)
    assert low.release_s == high.release_s == pytest.approx(2.0)
    assert (low.loop_start, low.loop_end, low.rate_hz) == (1000, 1900, RATE)
    np.testing.assert_allclose(low.wav, wav)


def test_what_is_no_soundfont_is_refused(tmp_path: Path) -> None:
    write_font(tmp_path / "a.sf2")
    with pytest.raises(ValueError, match="no preset 6"):
        SoundFont(tmp_path / "a.sf2").preset(0, 6)
    (tmp_path / "b.sf2").write_bytes(b"RIFF1234WAVE")
    with pytest.raises(ValueError, match="isn't a SoundFont"):
        SoundFont(tmp_path / "b.sf2")


def test_a_loop_stays_seamless_at_another_rate(tmp_path: Path) -> None:
    write_font(tmp_path / "a.sf2")
    zone: Zone = SoundFont(tmp_path / "a.sf2").preset(0, 5)[0]
    wav, ratio = bank_file._at_most_32_khz(zone)
    region = bank_file._region(zone, 0, len(wav), ratio)
    assert region.rate_hz <= 32000
    assert region.loop_start is not None
    span = round(region.length - region.loop_start)
    assert span == int(900 * 32000 / RATE)
    before = wav[region.length - 3 : region.length + 3]
    again = wav[region.length - 3 - span : region.length + 3 - span]
    np.testing.assert_allclose(before, again, atol=2e-3)


def test_packing_loses_nothing() -> None:
    values = np.random.default_rng(0).integers(-2047, 2048, 5000).astype(np.int16)
    assert np.array_equal(unpack(pack(values)), values)


def test_a_bank_is_kept_to_twelve_bits(tmp_path: Path) -> None:
    t = np.arange(3000, dtype=np.float32)
    samples = np.concatenate([0.01 * np.sin(t / 9), np.zeros(8), np.sin(t / 5)]).astype(np.float32)
    quiet = Region(0, 59, 0, 3000, 32000.0, 40.0)
    loud = Region(60, 127, 3008, 3000, 32000.0, 70.0, loop_start=100.0)
    bank_file.save(Bank(samples, {"flute": (quiet, loud)}), tmp_path / "x.bank")
    again = bank_file.load(tmp_path / "x.bank")
    assert again.sounds == {"flute": (quiet, loud)}
    np.testing.assert_allclose(again.samples[:3000], samples[:3000], atol=0.01 / 2047)
    np.testing.assert_allclose(again.samples[3008:], samples[3008:], atol=1 / 2047)
    (tmp_path / "y.bank").write_bytes(b'{"format": 0}\n')
    with pytest.raises(ValueError, match="cut the bank again"):
        bank_file.load(tmp_path / "y.bank")


def test_keys_beyond_a_sounds_range_take_the_nearest_region() -> None:
    low, high = Region(40, 59, 0, 10, 32000.0, 50.0), Region(60, 80, 0, 10, 32000.0, 70.0)
    bank = Bank(np.zeros(32, np.float32), {"flute": (low, high)})
    assert bank.regions("flute", 90) == [high]
    assert bank.regions("flute", 20) == [low]
    more = bank.with_sounds({"boom": [made(np.ones(5, np.float32)), made(np.ones(7, np.float32))]})
    assert [r.length for r in more.regions("boom", 36)] == [5, 7]
    assert more.samples[more.sounds["boom"][1].start] == 1
