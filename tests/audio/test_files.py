"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fanfare.audio.files import check_target, write_beside, write_whole
from fanfare.errors import InputError, OutputError


def test_written_whole(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "a.wav", b"123")
    assert path.read_bytes() == b"123"
    assert [file.name for file in tmp_path.iterdir()] == ["a.wav"]


def test_readable_as_other_files_are(tmp_path: Path) -> None:
    made = write_whole(tmp_path / "a", b"")
    (tmp_path / "b").touch()
    assert made.stat().st_mode == (tmp_path / "b").stat().st_mode


@pytest.mark.parametrize("has_links", [True, False])
def test_another_file_is_never_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    if not has_links:

        def refuse(*_: object) -> None:
            raise PermissionError(1, "no links here")

        monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "a.wav"
    write_whole(path, b"mine")
    with pytest.raises(OutputError, match="exists"):
        write_whole(path, b"theirs")
    assert path.read_bytes() == b"mine"
    assert write_whole(path, b"asked for", overwrite=True).read_bytes() == b"asked for"
    assert len(list(tmp_path.iterdir())) == 1


def test_next_free_name(tmp_path: Path) -> None:
    names = [write_beside(tmp_path / "a.wav", bytes([i])).name for i in range(3)]
    assert names == ["a.wav", "a-2.wav", "a-3.wav"]
    assert (tmp_path / "a.wav").read_bytes() == b"\0"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_nothing_is_left_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(_: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises((OutputError, KeyboardInterrupt)):
        write_whole(tmp_path / "a.wav", b"123")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_vanished(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="can't be written"):
        write_whole(tmp_path / "gone" / "a.wav", b"")


def test_targets_are_checked_beforehand(tmp_path: Path) -> None:
    taken = tmp_path / "taken.wav"
    taken.touch()
    check_target(tmp_path / "free.wav", overwrite=False)
    check_target(taken, overwrite=True)
    for path in (taken, tmp_path, tmp_path / "nowhere" / "a.wav"):
        with pytest.raises(InputError) as caught:
            check_target(path, overwrite=False)
        assert caught.value.field == "output"
