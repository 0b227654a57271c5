"""Any recording to samples, and samples to the bytes of a file."""

from __future__ import annotations

import base64
import io
import time
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from fanfare.audio.io import FILE_FORMATS, FileFormat, encode, format_of, read_audio
from fanfare.errors import AudioFileError, InputError
from sounds import RATE_HZ, chord, sound_file, wav_bytes

STEP_16 = 1 / 2**15


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(("file_format", "bits", "error"), [
    ("wav", 16, 0.51 / 2**15), ("wav", 24, 0.51 / 2**23),
    ("flac", 16, 0.51 / 2**15), ("flac", 24, 0.51 / 2**23),
])  # fmt: skip
def test_lossless_files_give_back_the_nearest_samples(
    channels: int, file_format: FileFormat, bits: int, error: float
) -> None:
    samples = chord(0.5, channels)
    read = read_audio(io.BytesIO(encode(samples, RATE_HZ, file_format, bits)))
    assert read.sample_rate_hz == RATE_HZ
    assert read.samples.dtype == np.float32
    np.testing.assert_allclose(read.samples, samples, atol=error)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("file_format", ["mp3", "ogg"])
def test_lossy_files_keep_length_and_sound(channels: int, file_format: FileFormat) -> None:
    samples = chord(1.0, channels)
    read = read_audio(io.BytesIO(encode(samples, RATE_HZ, file_format)))
    assert read.samples.shape == samples.shape
    correlation = np.corrcoef(read.samples.ravel(), samples.ravel())[0, 1]
    assert correlation > 0.999


def test_mp3_is_320_kbit() -> None:
    data = encode(chord(4.0), RATE_HZ, "mp3")
    assert len(data) * 8 / 4.0 == pytest.approx(320_000, rel=0.03)


def test_equal_samples_are_equal_bytes() -> None:
    first = [encode(chord(0.3), RATE_HZ, file_format) for file_format in FILE_FORMATS]
    time.sleep(1.1)  # a stream number or a date drawn from the clock would differ
    assert [encode(chord(0.3), RATE_HZ, file_format) for file_format in FILE_FORMATS] == first


def test_full_scale_saturates() -> None:
    samples = np.array([[1.5, 1.0, -1.0, -1.5, 0.0]], np.float32)
    read = read_audio(io.BytesIO(encode(np.tile(samples, 500), RATE_HZ, "wav")))
    expected = [1 - STEP_16, 1 - STEP_16, -1.0, -1.0, 0.0]
    np.testing.assert_allclose(read.samples[0, :5], expected, atol=1e-7)


def test_sixteen_or_twenty_four_bits() -> None:
    with pytest.raises(InputError, match="bits"):
        encode(chord(0.1), RATE_HZ, "wav", 12)


@pytest.mark.parametrize("rate_hz", [8000, 11025, 22050, 44100, 48000, 96000])
def test_rates_are_kept(rate_hz: int) -> None:
    read = read_audio(io.BytesIO(encode(chord(0.2, rate_hz=rate_hz), rate_hz, "wav")))
    assert read.sample_rate_hz == rate_hz
    assert read.duration_s == pytest.approx(0.2, abs=1e-3)


@pytest.mark.parametrize(("code", "bits", "dtype", "scale"), [
    (1, 8, "u1", 127), (1, 16, "<i2", 2**15 - 1), (1, 32, "<i4", 2**31 - 1),
    (3, 32, "<f4", 1), (3, 64, "<f8", 1),
])  # fmt: skip
def test_sample_formats(code: int, bits: int, dtype: str, scale: int) -> None:
    wave = 0.5 * np.sin(np.arange(RATE_HZ) / 20)
    values = (wave * scale + (128 if dtype == "u1" else 0)).astype(dtype)
    read = read_audio(io.BytesIO(wav_bytes(values.tobytes(), code=code, bits=bits)))
    np.testing.assert_allclose(read.samples[0], wave, atol=0.02 if bits == 8 else 1e-4)


@pytest.mark.parametrize(("container", "codec"), [
    ("mp4", "aac"), ("matroska", "pcm_s16le"), ("webm", "libopus"), ("aiff", "pcm_s16be"),
    ("avi", "mp2"), ("mov", "alac"),
])  # fmt: skip
def test_other_containers_are_read(container: str, codec: str) -> None:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as file:
        stream = file.add_stream(codec, rate=48000, layout="stereo")
        sound = chord(1.0, 2, 48000)
        frame = av.AudioFrame.from_ndarray(sound, format="fltp", layout="stereo")
        frame.sample_rate = 48000
        context = stream.codec_context
        resampler = av.AudioResampler(
            context.format.name, "stereo", 48000, frame_size=context.frame_size or None
        )
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(stream.encode(part))
        file.mux(stream.encode())
    read = read_audio(io.BytesIO(buffer.getvalue()))
    assert read.sample_rate_hz == 48000
    assert read.samples.shape[0] == 2
    assert read.duration_s == pytest.approx(1.0, abs=0.1)
    assert np.abs(read.samples).max() == pytest.approx(np.abs(sound).max(), rel=0.2)


def test_surround_becomes_stereo() -> None:
    values = np.zeros((RATE_HZ, 6), "<i2")
    values[:, 0] = 8000
    read = read_audio(io.BytesIO(wav_bytes(values.tobytes(), channels=6)))
    assert read.samples.shape == (2, RATE_HZ)
    assert read.samples[0].mean() > 5 * abs(read.samples[1].mean())


@pytest.mark.parametrize(("rate_hz", "longest_s"), [(96_000, 2), (192_000, 1), (384_000, 0)])
def test_at_rates_that_nobody_needs_less_is_read(rate_hz: int, longest_s: int) -> None:
    """Ten minutes of silence at 655 kHz are small as a file alone."""
    for duration_s in (1, 2):
        file = io.BytesIO(wav_bytes(bytes(duration_s * rate_hz), bits=8, rate_hz=rate_hz))
        if duration_s <= longest_s:
            assert read_audio(file, max_s=2).duration_s == duration_s
        else:
            with pytest.raises(AudioFileError, match=f"than {longest_s} s at {rate_hz:,} Hz"):
                read_audio(file, max_s=2)


def test_reading_stops_where_it_is_told() -> None:
    read = read_audio(io.BytesIO(sound_file("flac", 4.0)), stop_s=3)
    assert read.samples.shape == (1, 3 * RATE_HZ)
    np.testing.assert_allclose(read.samples, chord(4.0)[:, : 3 * RATE_HZ], atol=STEP_16)


def test_a_stop_beyond_the_end_is_the_end() -> None:
    assert read_audio(io.BytesIO(sound_file("wav", 2.0)), stop_s=9).duration_s == 2.0


def test_sources(tmp_path: Path) -> None:
    data = sound_file("flac")
    path = tmp_path / "a file with spaces.flac"
    path.write_bytes(data)
    uri = "data:audio/flac;base64," + base64.b64encode(data).decode()
    with path.open("rb") as file:
        file.read(10)  # an open file is read from its beginning, also when it is read twice
        sources: list[Any] = [path, str(path), uri, file, file, io.BytesIO(data)]
        for source in sources:
            np.testing.assert_array_equal(read_audio(source).samples, read_audio(path).samples)


@pytest.mark.parametrize("source", [
    "http://example.com/theme.wav", "https://example.com/theme.wav", "ftp://x/y", "file:///x.wav",
    "s3://bucket/key", "data:audio/wav;base64,@@@@", "data:audio/wav;base64", "data:,hello",
    "data:audio/wav;base64,AAAA", "concat:a.wav|b.wav", "/dev/zero", "/dev/stdin", "-",
])  # fmt: skip
def test_other_sources_are_refused(source: str) -> None:
    with pytest.raises(AudioFileError) as caught:
        read_audio(source)
    assert caught.value.field == "input_audio"


def test_addresses_are_met_with_advice() -> None:
    with pytest.raises(AudioFileError, match="download the file"):
        read_audio("https://example.com/theme.wav")


def test_text_files_are_met_with_advice(tmp_path: Path) -> None:
    source: Any = io.StringIO("RIFF")
    with pytest.raises(AudioFileError, match="binary mode"):
        read_audio(source)


def test_closed_files_are_refused(tmp_path: Path) -> None:
    file = io.BytesIO(sound_file())
    file.close()
    with pytest.raises(AudioFileError):
        read_audio(file)


def test_long_recordings_are_refused() -> None:
    file = io.BytesIO(sound_file("flac", 3.0))
    with pytest.raises(AudioFileError, match="longer than 2 s"):
        read_audio(file, max_s=2)
    assert read_audio(file, max_s=2, stop_s=1).duration_s == 1.0


def test_large_files_are_refused(tmp_path: Path) -> None:
    data = sound_file()
    path = tmp_path / "a.wav"
    path.write_bytes(data)
    uri = "data:audio/wav;base64," + base64.b64encode(data).decode()
    for source in (path, io.BytesIO(data), uri):
        with pytest.raises(AudioFileError, match="larger than 1000 bytes"):
            read_audio(source, max_bytes=1000)


def test_the_field_is_the_callers() -> None:
    with pytest.raises(AudioFileError) as caught:
        read_audio("nowhere.wav", field="theme")
    assert caught.value.field == "theme"


def test_tags_that_are_no_text_do_not_matter() -> None:
    data = bytearray(sound_file("wav"))
    note = b"LIST" + (18).to_bytes(4, "little") + b"INFOINAM" + (6).to_bytes(4, "little")
    data += note + b"\xff\xfe\x80\x81\x00\x00"
    assert read_audio(io.BytesIO(bytes(data))).duration_s == 1.0


def test_a_damaged_spot_is_survived() -> None:
    data = bytearray(sound_file("mp3", 3.0))
    middle = len(data) // 2
    data[middle : middle + 600] = b"\0" * 600
    assert read_audio(io.BytesIO(bytes(data))).duration_s == pytest.approx(3.0, abs=0.2)


@pytest.mark.parametrize(("name", "expected"), [("a.wav", "wav"), ("b/c.FLAC", "flac")])
def test_endings(name: str, expected: str) -> None:
    assert format_of(Path(name)) == expected


@pytest.mark.parametrize("name", ["a.aac", "a", "a.wav.txt", "a."])
def test_unknown_endings(name: str) -> None:
    with pytest.raises(InputError, match="output"):
        format_of(Path(name))
