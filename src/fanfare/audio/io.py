"""Sound in and out: any recording to samples, samples to the bytes of a file.

C channels (1 or 2), N samples.
"""

from __future__ import annotations

import base64
import binascii
import io
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, get_args
from urllib.parse import unquote_to_bytes

import numpy as np
import numpy.typing as npt

from fanfare.errors import AudioFileError, InputError
from fanfare.inputs import AudioSource

if TYPE_CHECKING:
    import av

FileFormat = Literal["wav", "mp3", "flac", "ogg"]
FILE_FORMATS: tuple[FileFormat, ...] = get_args(FileFormat)
Samples = npt.NDArray[np.float32]

MAX_SECONDS = 600
MAX_BYTES = 256 * 2**20
MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 768_000
FULL_LENGTH_HZ = 96_000
"""Beyond this rate fewer seconds are read: silence at 655 kHz is small on the disk alone."""
MAX_BAD_PACKETS = 1000
"""So many more than good ones: the rest is no better, and a file may hold millions."""
GATHERED_SAMPLES = 1 << 20
WRITE_BLOCK = 1 << 16
"""Samples handed to libsndfile at once: its Vorbis coder keeps a whole call on the stack."""


@dataclass(frozen=True)
class Recording:
    """Sound as it came: `samples` float32 [C, N], C being 1 or 2."""

    samples: Samples
    sample_rate_hz: int

    @property
    def duration_s(self) -> float:
        return int(self.samples.shape[1]) / self.sample_rate_hz


def read_audio(
    source: AudioSource,
    *,
    field: str = "input_audio",
    stop_s: int | None = None,
    max_s: int = MAX_SECONDS,
    max_bytes: int = MAX_BYTES,
) -> Recording:
    """Decode a path, a data: URI or an open binary file; surround sound becomes stereo.

    Reading ends at `stop_s`. Raises AudioFileError naming `field` for anything that isn't a
    recording of at most `max_s` seconds and `max_bytes` bytes. A string is taken for a path of
    this machine: whoever serves strangers must not hand theirs down.
    """
    import av

    named = isinstance(source, str | Path)
    shown = str(source) if named else str(getattr(source, "name", "stream"))
    with _opened(source, shown, field, max_bytes) as file:
        try:
            # A playlist would have FFmpeg open whatever files and addresses it names.
            options = {"protocol_whitelist": "none"}
            reader = _Reader(file)
            with av.open(reader, metadata_errors="ignore", options=options) as container:
                recording = _decode(container, shown, field, stop_s, max_s)
        except (av.error.FFmpegError, ValueError, OSError, RuntimeError, EOFError) as error:
            hint = "isn't a sound file that can be decoded"
            raise AudioFileError(field, shown, hint) from error
    if not recording.samples.shape[1]:
        raise AudioFileError(field, shown, "holds no sound")
    if not np.isfinite(recording.samples).all():
        raise AudioFileError(field, shown, "holds samples that are not numbers")
    return recording


class _Reader:
    """A file as PyAV uses it, whose failing `seek` says -1: an exception would be printed."""

    def __init__(self, file: IO[bytes]) -> None:
        self.read = file.read
        self.tell = file.tell
        self._seek = file.seek

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._seek(offset, whence)
        except (OSError, ValueError):
            return -1


@contextmanager
def _opened(source: AudioSource, shown: str, field: str, max_bytes: int) -> Iterator[IO[bytes]]:
    """The source as an open, seekable binary file of at most `max_bytes`."""
    too_large = AudioFileError(field, shown, f"is larger than {max_bytes} bytes: cut it")
    if isinstance(source, str) and source[:5].lower() == "data:":
        if len(source) > 2 * max_bytes:
            raise too_large
        yield io.BytesIO(_data_uri(source, field))
    elif isinstance(source, str) and "://" in source:
        hint = "addresses are not fetched: download the file and give its path"
        raise AudioFileError(field, source, hint)
    elif isinstance(source, str | Path):
        try:
            status = Path(source).stat()
            if not stat.S_ISREG(status.st_mode):
                raise AudioFileError(field, shown, "isn't a file: give the path of a recording")
            if status.st_size > max_bytes:
                raise too_large
            file = Path(source).open("rb")  # noqa: SIM115  closed below, out of this try's reach
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise AudioFileError(field, shown, f"can't be opened: {reason}") from None
        with file:
            yield file
    else:
        yield io.BytesIO(_contents(source, shown, field, max_bytes))


def _contents(source: IO[bytes], shown: str, field: str, max_bytes: int) -> bytes:
    """All of an open file, from its beginning."""
    try:
        if source.seekable():
            source.seek(0)
        data = source.read(max_bytes + 1)
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise AudioFileError(field, shown, f"can't be read: {error}") from None
    if not isinstance(data, bytes | bytearray):
        raise AudioFileError(field, shown, "gives text: open it in binary mode")
    if len(data) > max_bytes:
        raise AudioFileError(field, shown, f"is larger than {max_bytes} bytes: cut it")
    return bytes(data)


def _data_uri(uri: str, field: str) -> bytes:
    """The bytes inside a data: URI (RFC 2397)."""
    head, comma, body = uri.partition(",")
    if not comma:
        raise AudioFileError(field, uri, "is a data: URI without a comma: data:audio/wav;base64,…")
    raw = unquote_to_bytes(body)
    if not head.lower().endswith(";base64"):
        return raw
    try:
        return base64.b64decode(b"".join(raw.split()), validate=True)
    except (binascii.Error, ValueError):
        raise AudioFileError(field, uri, "is a data: URI with broken base64") from None


def _decode(
    container: av.container.InputContainer,
    shown: str,
    field: str,
    stop_s: int | None,
    max_s: int,
) -> Recording:
    """Samples of the first audio stream, up to `stop_s`."""
    import av

    if not container.streams.audio:
        raise AudioFileError(field, shown, "has no sound in it")
    stream = container.streams.audio[0]
    resampler: av.AudioResampler | None = None
    gathered = _Gathered()
    rate_hz = n_good = n_bad = 0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:
            n_bad += 1  # tags amid mp3 frames and cut-off last packets are everyday sights
            if n_bad > n_good + MAX_BAD_PACKETS:
                break
            continue
        n_good += 1
        for frame in frames:
            if resampler is None:
                rate_hz = frame.sample_rate
                if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
                    raise AudioFileError(field, shown, f"has a sample rate of {rate_hz} Hz")
                layout = "mono" if frame.layout.nb_channels == 1 else "stereo"
                resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate_hz)
            for part in resampler.resample(frame):
                gathered.add(part.to_ndarray())
        if stop_s is not None and gathered.n_samples >= stop_s * rate_hz > 0:
            break
        if gathered.n_samples > max_s * min(rate_hz, FULL_LENGTH_HZ):
            raise AudioFileError(field, shown, _too_long(max_s, rate_hz))
    if not gathered.n_samples or n_bad > n_good:
        raise AudioFileError(field, shown, "is damaged: no sound could be decoded")
    return Recording(gathered.all(None if stop_s is None else stop_s * rate_hz), rate_hz)


def _too_long(max_s: int, rate_hz: int) -> str:
    if rate_hz <= FULL_LENGTH_HZ:
        return f"is longer than {max_s} s: cut it, or set continuation_end"
    longest_s = max_s * FULL_LENGTH_HZ // rate_hz
    return f"is longer than {longest_s} s at {rate_hz:,} Hz: convert it to 48,000 Hz, or cut it"


class _Gathered:
    """Samples that come in small parts: kept in blocks which the system takes back one by one, so
    that joining them needs no room for a second copy."""

    def __init__(self) -> None:
        self.n_samples = 0
        self._blocks: list[Samples] = []
        self._parts: list[Samples] = []
        self._n_loose = 0

    def add(self, part: Samples) -> None:
        """The next samples [C, N]."""
        self._parts.append(part)
        self.n_samples += part.shape[1]
        self._n_loose += part.shape[1]
        if self._n_loose >= GATHERED_SAMPLES:
            self._close_block()

    def all(self, n_samples: int | None) -> Samples:
        """The first samples, or all of them, as one array [C, N]; nothing is kept."""
        self._close_block()
        n = self.n_samples if n_samples is None else min(n_samples, self.n_samples)
        joined = np.empty((self._blocks[0].shape[0], n), np.float32)
        start = 0
        for i, block in enumerate(self._blocks):
            end = min(n, start + block.shape[1])
            joined[:, start:end] = block[:, : end - start]
            self._blocks[i] = block[:, :0].copy()
            start = end
        return joined

    def _close_block(self) -> None:
        if self._parts:
            self._blocks.append(np.concatenate(self._parts, axis=1))
        self._parts, self._n_loose = [], 0


def format_of(path: Path) -> FileFormat:
    """The file format that a path's ending asks for."""
    suffix = path.suffix.lower().removeprefix(".")
    if suffix not in FILE_FORMATS:
        raise InputError("output", str(path), f"must end in .{', .'.join(FILE_FORMATS)}")
    return suffix


def encode(samples: Samples, sample_rate_hz: int, file_format: FileFormat, bits: int = 16) -> bytes:
    """A file's bytes from `samples` float32 [C, N]; equal samples give equal bytes.

    wav and flac hold `bits` (16 or 24) a sample, mp3 is 320 kbit/s, ogg is Vorbis at quality 0.8.
    """
    import soundfile

    C, _ = samples.shape
    assert C in (1, 2), samples.shape
    assert np.isfinite(samples).all(), "samples that are not numbers"
    if bits not in (16, 24):
        raise InputError("bits", bits, "must be 16 or 24")
    options: dict[str, object]
    is_pcm = file_format in ("wav", "flac")
    if is_pcm:
        options = {"subtype": f"PCM_{bits}"}
    elif file_format == "mp3":
        options = {
            "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT", "compression_level": 0.0,
        }  # fmt: skip
    else:
        options = {"subtype": "VORBIS", "compression_level": 0.2}
    buffer = io.BytesIO()
    with soundfile.SoundFile(
        buffer, "w", sample_rate_hz, C, format=file_format.upper(), **options
    ) as file:
        for start in range(0, samples.shape[1], WRITE_BLOCK):
            part: npt.NDArray[Any] = samples[:, start : start + WRITE_BLOCK]
            if is_pcm:
                part = quantised(part, bits)
            file.write(np.ascontiguousarray(part.T))
    if file_format == "ogg":
        return _with_fixed_serial(buffer.getvalue())
    return buffer.getvalue()


def quantised(samples: Samples, bits: int) -> npt.NDArray[np.int16] | npt.NDArray[np.int32]:
    """Nearest integers at full scale 2^(bits-1), saturated; 24 bits sit in an int32's upper end."""
    full = 1 << (bits - 1)
    values = np.clip(np.rint(samples.astype(np.float64) * full), -full, full - 1)
    return values.astype(np.int16) if bits == 16 else values.astype(np.int32) << 8


def _with_fixed_serial(ogg: bytes) -> bytes:
    """An Ogg file whose random stream number is replaced by a fixed one."""
    from mutagen.ogg import OggPage

    source, out = io.BytesIO(ogg), io.BytesIO()
    while source.tell() < len(ogg):
        page = OggPage(source)
        page.serial = 1
        out.write(page.write())
    return out.getvalue()
