"""Growing sound: whole at any time, and without a seam when another goes on with it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fanfare.chunks import Chunk
from fanfare.server.growing import Growing
from fanfare.server.ids import new_id
from fanfare.server.sound import GrowingSound

RATE_HZ = 32000


def chunks(channels: int = 1, n: int = 6) -> list[Chunk]:
    t = np.arange(n * 7001) / RATE_HZ
    wav = np.stack([0.3 * np.sin(2 * np.pi * (440 + 220 * c) * t) for c in range(channels)])
    samples = wav.astype(np.float32)
    return [
        Chunk(0, samples[:, i * 7001 : (i + 1) * 7001], RATE_HZ, i * 7001 / RATE_HZ, i == n - 1, 1)
        for i in range(n)
    ]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("file_format", ["wav", "mp3"])
def test_it_can_be_played_at_any_time(tmp_path: Path, file_format: str, channels: int) -> None:
    path = tmp_path / f"x.{file_format}"
    made = chunks(channels)
    sound = GrowingSound(path, made[0])
    lengths = []
    for chunk in made:
        sound.grow(chunk)
        if file_format == "mp3":
            lengths.append(soundfile.read(io.BytesIO(path.read_bytes()))[0].shape[0])
        else:
            lengths.append((path.stat().st_size - 44) // (2 * channels))
    sound.close()
    assert lengths == sorted(set(lengths))
    whole = np.concatenate([chunk.samples for chunk in made], axis=1)
    if file_format == "mp3":
        heard, rate_hz = soundfile.read(path, always_2d=True)
        assert rate_hz == RATE_HZ
        assert heard.shape[1] == channels
        delays = range(900, 1400)  # of the encoder
        errors = [np.abs(heard[d : d + 30000, 0] - whole[0, :30000]).max() for d in delays]
        assert min(errors) < 0.02
    else:
        data = np.frombuffer(path.read_bytes()[44:], "<i2").reshape(-1, channels).T / 32768
        np.testing.assert_allclose(data, whole, atol=1e-4)


@pytest.mark.parametrize("file_format", ["wav", "mp3"])
def test_another_worker_goes_on_without_a_seam(tmp_path: Path, file_format: str) -> None:
    made = chunks()
    whole = GrowingSound(tmp_path / f"whole.{file_format}", made[0])
    for chunk in made:
        whole.grow(chunk)
    whole.close()
    path = tmp_path / f"broken.{file_format}"
    first = GrowingSound(path, made[0])
    for chunk in made[:3]:
        first.grow(chunk)
    first.close()
    path.write_bytes(path.read_bytes()[:-101])  # the last bytes had not come to the disk
    sizes = [path.stat().st_size]
    second = GrowingSound(path, made[0])
    for chunk in made:
        second.grow(chunk)
        sizes.append(path.stat().st_size)
    second.close()
    assert sizes == sorted(sizes)
    assert path.read_bytes() == (tmp_path / f"whole.{file_format}").read_bytes()


def test_wishes_are_kept_until_the_end(tmp_path: Path) -> None:
    growing, one, other = Growing(tmp_path), new_id(), new_id()
    assert growing.wanted() == growing.all() == set()
    growing.remove(one)
    growing.want(one)
    growing.want(one)
    names = {kind: growing.path(one, kind).name for kind in ("wav", "mp3", "flac", "ogg")}
    assert set(names.values()) == {f"{one}.wav", f"{one}.mp3"}
    assert names["mp3"].endswith(".mp3")
    growing.path(other, "mp3").write_bytes(b"x")
    assert growing.wanted() == {one}
    assert growing.all() == {one, other}
    growing.remove(one)
    growing.remove(other)
    assert growing.all() == set()
