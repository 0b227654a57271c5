"""What made a file, written into it and read back."""

from __future__ import annotations

import io
import time
from pathlib import Path

import mutagen
import pytest

from fanfare.audio.io import FILE_FORMATS, FileFormat, read_audio
from fanfare.audio.tags import NOTICE, Tags, embed, read_tags
from sounds import sound_file

TAGS = Tags(
    prompt="Fanfares für Blech,\n火の鳥 & “taiko”",
    seed=2**32 - 1,
    inputs={"prompt": "…", "top_p": 0.5, "continuation_end": None, "continuation": True},
    weights="epic-mini",
    version="9.9",
)


@pytest.mark.parametrize("file_format", FILE_FORMATS)
def test_tags_are_read_back(tmp_path: Path, file_format: FileFormat) -> None:
    path = tmp_path / f"a.{file_format}"
    plain = sound_file(file_format)
    path.write_bytes(embed(plain, file_format, TAGS))
    assert read_tags(path) == TAGS
    before, after = read_audio(io.BytesIO(plain)), read_audio(path)
    assert (before.samples == after.samples).all()


@pytest.mark.parametrize("file_format", FILE_FORMATS)
def test_players_see_title_and_notice(tmp_path: Path, file_format: FileFormat) -> None:
    path = tmp_path / f"a.{file_format}"
    path.write_bytes(embed(sound_file(file_format), file_format, TAGS))
    text = str(dict(mutagen.File(path).tags))
    assert NOTICE in text
    assert "Fanfare 9.9" in text
    assert "Fanfares für Blech, 火の鳥" in text


def test_equal_tags_are_equal_bytes() -> None:
    def tagged() -> list[bytes]:
        return [embed(sound_file(name), name, TAGS) for name in FILE_FORMATS]

    first = tagged()
    time.sleep(1.1)  # nothing may come from the clock
    assert tagged() == first


def test_no_prompt_no_title(tmp_path: Path) -> None:
    tags = Tags(None, 0, {}, "w", "1")
    path = tmp_path / "a.flac"
    path.write_bytes(embed(sound_file("flac"), "flac", tags))
    assert read_tags(path) == tags
    assert "title" not in mutagen.File(path).tags


@pytest.mark.parametrize("text", ["", "{}", "[1]", "not json", '{"prompt": 1, "other": 2}'])
def test_tags_of_another_hand(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.flac"
    path.write_bytes(sound_file("flac"))
    file = mutagen.File(path)
    file["fanfare"] = [text]
    file.save()
    assert read_tags(path) is None


@pytest.mark.parametrize("data", [b"", b"text", sound_file("wav"), sound_file("mp3")])
def test_files_without_tags(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(data)
    assert read_tags(path) is None
