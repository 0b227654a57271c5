"""Audio: a finished piece of music, and the files it can become."""

from __future__ import annotations

import base64
import html
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fanfare.audio.files import check_target, write_beside, write_whole
from fanfare.audio.io import FileFormat, Samples, encode, format_of
from fanfare.audio.tags import Tags, embed
from fanfare.inputs import Inputs
from fanfare.version import fanfare_version

MAX_SLUG_CHARS = 48


@dataclass(frozen=True, eq=False)
class Audio:
    """A piece as it was generated and levelled. C channels, N samples, K codebooks, T frames.

    Attributes:
        samples: float32 [C, N], within ±1.
        sample_rate_hz: samples per second and channel.
        codes: int64 [K, T], the tokens it was decoded from (a continuation's excerpt included).
        seed: the seed that was used, also where the request left it open.
        inputs: the request.
        weights: name of the model.
    """

    samples: Samples
    sample_rate_hz: int
    codes: npt.NDArray[np.int64]
    seed: int
    inputs: Inputs
    weights: str

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return int(self.samples.shape[1]) / self.sample_rate_hz

    @property
    def tags(self) -> Tags:
        """What its files say of where it comes from."""
        record = self.inputs.record(self.seed)
        return Tags(self.inputs.prompt, self.seed, record, self.weights, fanfare_version())

    @property
    def file_name(self) -> str:
        """A name from the prompt and the seed: heroic-brass-s7.wav."""
        return default_file_name(self.inputs, self.seed, self.inputs.output_format)

    def to_bytes(self, file_format: FileFormat | None = None, *, bits: int = 16) -> bytes:
        """A tagged file's bytes, by default in the `output_format` that was asked for."""
        made = file_format or self.inputs.output_format
        return embed(encode(self.samples, self.sample_rate_hz, made, bits), made, self.tags)

    def save(
        self, path: str | Path | None = None, *, overwrite: bool = False, bits: int = 16
    ) -> Path:
        """Write a file, whole or not at all; returns its path.

        The ending picks the format: .wav, .flac (`bits` 16 or 24), .mp3 or .ogg; without one it
        is `output_format`. Without a path, or with a folder, a name is made from prompt and seed,
        and the next free one is taken. InputError or OutputError if the path can't be had.
        """
        target = Path() if path is None else Path(path)
        if target.is_dir():
            return write_beside(target / self.file_name, self.to_bytes(bits=bits))
        if not target.suffix:
            target = target.with_suffix(f".{self.inputs.output_format}")
        file_format = format_of(target)
        check_target(target, overwrite=overwrite)
        return write_whole(target, self.to_bytes(file_format, bits=bits), overwrite=overwrite)

    def _repr_html_(self) -> str:
        """A player for notebooks."""
        sound = base64.b64encode(self.to_bytes("wav")).decode()
        title = html.escape(self.inputs.prompt or "")
        return (
            f'<figure><audio controls src="data:audio/wav;base64,{sound}"></audio>'
            f"<figcaption>{title} · seed {self.seed}</figcaption></figure>"
        )

    def __repr__(self) -> str:
        return f"Audio({self.duration_s:.2f} s, {self.inputs.prompt!r}, seed={self.seed})"


def default_file_name(inputs: Inputs, seed: int, file_format: FileFormat) -> str:
    """A file name from a request's prompt and the seed."""
    plain = unicodedata.normalize("NFKD", inputs.prompt or "").encode("ascii", "ignore").decode()
    slug = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")
    if len(slug) > MAX_SLUG_CHARS:
        slug = slug[: MAX_SLUG_CHARS + 1].rsplit("-", 1)[0][:MAX_SLUG_CHARS]
    return f"{slug or 'music'}-s{seed}.{file_format}"
