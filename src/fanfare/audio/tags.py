"""What made a file, written into it: any piece can be traced, and made again.

Players show the title, the encoder and the comment; one JSON text named `fanfare` holds the rest.
No dates: equal music is equal bytes.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fanfare.audio.io import FileFormat

NOTICE = "AI-generated music"
KEY = "fanfare"


@dataclass(frozen=True)
class Tags:
    """Where a piece comes from.

    Attributes:
        prompt: the words it was made from; None if there were none.
        seed: the seed that was used, also where the request left it open.
        inputs: all fields of `Inputs` as JSON values.
        weights: name of the model.
        version: of Fanfare.
        notice: that no person played this.
    """

    prompt: str | None
    seed: int
    inputs: Mapping[str, Any]
    weights: str
    version: str
    notice: str = NOTICE


def embed(data: bytes, file_format: FileFormat, tags: Tags) -> bytes:
    """A sound file's bytes with the tags in them: ID3 in wav and mp3, comments in flac and ogg."""
    text = json.dumps(asdict(tags), ensure_ascii=False)
    title = " ".join((tags.prompt or "").split())
    encoder = f"Fanfare {tags.version}"
    buffer = io.BytesIO(data)
    if file_format in ("wav", "mp3"):
        _embed_id3(buffer, file_format, title, encoder, tags.notice, text)
    else:
        _embed_comments(buffer, file_format, title, encoder, tags.notice, text)
    return buffer.getvalue()


def read_tags(path: Path) -> Tags | None:
    """The tags of a file that Fanfare wrote; None for any other file."""
    import mutagen

    try:
        file = mutagen.File(path)
    except mutagen.MutagenError:
        return None
    if file is None or file.tags is None:
        return None
    try:
        found = file.tags.get(f"TXXX:{KEY}") or file.tags.get(KEY)
        return Tags(**json.loads(str(found[0])))
    except (ValueError, TypeError, KeyError, IndexError):
        return None  # a tag of this name that another hand wrote


def _embed_id3(
    buffer: io.BytesIO, file_format: FileFormat, title: str, encoder: str, notice: str, text: str
) -> None:
    from mutagen.id3 import COMM, TIT2, TSSE, TXXX, Encoding
    from mutagen.mp3 import MP3
    from mutagen.wave import WAVE

    file = WAVE(buffer) if file_format == "wav" else MP3(buffer)
    if file.tags is None:
        file.add_tags()
    utf8 = Encoding.UTF8
    if title:
        file.tags.add(TIT2(encoding=utf8, text=[title]))
    file.tags.add(TSSE(encoding=utf8, text=[encoder]))
    file.tags.add(COMM(encoding=utf8, lang="eng", desc="", text=[notice]))
    file.tags.add(TXXX(encoding=utf8, desc=KEY, text=[text]))
    _save(file.save, buffer)


def _embed_comments(
    buffer: io.BytesIO, file_format: FileFormat, title: str, encoder: str, notice: str, text: str
) -> None:
    from mutagen.flac import FLAC
    from mutagen.oggvorbis import OggVorbis

    file = FLAC(buffer) if file_format == "flac" else OggVorbis(buffer)
    if file.tags is None:
        file.add_tags()
    if title:
        file.tags["title"] = [title]
    file.tags["encoder"] = [encoder]
    file.tags["comment"] = [notice]
    file.tags[KEY] = [text]
    _save(file.save, buffer)


def _save(save: Callable[[io.BytesIO], None], buffer: io.BytesIO) -> None:
    buffer.seek(0)
    save(buffer)
