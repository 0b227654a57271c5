"""`fanfare again`: pieces from their own tags."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fanfare.audio.io import FileFormat
from fanfare.audio.tags import Tags, embed, read_tags
from fanfare.cli import app
from sounds import sound_file


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text_folder: Path) -> Path:
    """An empty current folder in which the tiny model goes by its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FANFARE_WEIGHTS", str(text_folder))
    (tmp_path / "tiny-text").symlink_to(text_folder)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def made(name: str, *flags: str) -> Path:
    result = run("generate", "epic brass & <taiko>", "--duration=1", "-o", name, *flags)
    assert result.exit_code == 0, result.output
    return Path(name)


@pytest.mark.parametrize("ending", ["wav", "mp3", "flac", "ogg"])
def test_the_same_bytes(folder: Path, ending: str) -> None:
    first = made(f"a.{ending}", "--temperature=0.9", "--top-k=40", "--no-continuation")
    result = run("again", first.name)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"a-again.{ending}\n"
    assert "the same bytes" in result.stderr
    assert Path(f"a-again.{ending}").read_bytes() == first.read_bytes()
    second = run("again", first.name, "--quiet")
    assert (second.stdout, second.stderr) == (f"a-again-2.{ending}\n", "")


def test_a_name_without_an_ending_is_no_matter(folder: Path) -> None:
    first = made("a.mp3").rename("kept")
    result = json.loads(run("again", first.name, "--json", "-o", "b").stdout)
    assert (result["path"], result["is_same"], result["differs_in"]) == ("b.mp3", True, [])
    assert Path("b.mp3").read_bytes() == first.read_bytes()


def test_twenty_four_bits_stay_so(folder: Path, text_folder: Path) -> None:
    import fanfare

    piece = fanfare.load(text_folder, device="cpu").generate(prompt="epic", duration=1, seed=5)
    piece.save("fine.flac", bits=24)
    assert json.loads(run("again", "fine.flac", "--json").stdout)["is_same"]
    assert Path("fine-again.flac").read_bytes() == Path("fine.flac").read_bytes()


def test_recordings_are_found_beside_it_or_given(folder: Path) -> None:
    (folder / "song.wav").write_bytes(sound_file("wav", 3.0))
    flags = ("--input-audio=song.wav", "--continuation", "--continuation-end=1", "--seed=4")
    first = made("a.wav", *flags)
    assert json.loads(run("again", "a.wav", "--json").stdout)["is_same"]
    (folder / "song.wav").rename(folder / "other.wav")
    missing = run("again", "a.wav")
    assert missing.exit_code == 2
    assert "song.wav" in missing.stderr
    assert "--input-audio" in missing.stderr
    assert run("again", "a.wav", "--input-audio=other.wav", "-o", "b.wav").exit_code == 0
    # The same sound; its tags name the recording as it is called now.
    assert read_tags(Path("b.wav")) != read_tags(first)
    needless = run("again", str(made("c.wav")), "--input-audio=other.wav")
    assert needless.exit_code == 2
    assert "without a recording" in needless.stderr


def test_what_changed_is_said(folder: Path, text_folder: Path) -> None:
    first = made("a.wav")
    tags = read_tags(first)
    assert tags is not None
    old = Tags(tags.prompt, tags.seed, tags.inputs, "an-old-model", "0.0.1")
    (folder / "old.wav").write_bytes(embed(sound_file("wav", 1.0), "wav", old))
    gone = run("again", "old.wav")
    assert gone.exit_code != 0
    assert "an-old-model" in gone.stderr
    result = run("again", "old.wav", f"--weights={text_folder}")
    assert result.exit_code == 0
    assert "Fanfare was 0.0.1" in result.stderr
    assert "an-old-model" in result.stderr


@pytest.mark.parametrize("file_format", ["wav", "mp3"])
def test_files_of_others_are_refused(folder: Path, file_format: FileFormat) -> None:
    name = f"song.{file_format}"
    (folder / name).write_bytes(sound_file(file_format, 1.0))
    (folder / "text.wav").write_text("text")
    for refused in (name, "text.wav", "nowhere.wav", "."):
        result = run("again", refused)
        assert result.exit_code == 2, result.output
        assert "file" in result.stderr
        assert "Traceback" not in result.stderr


def test_nothing_is_overwritten_by_accident(folder: Path) -> None:
    first = made("a.wav")
    before = first.read_bytes()
    assert run("again", "a.wav", "-o", "a.wav").exit_code == 2
    assert first.read_bytes() == before
    assert run("again", "a.wav", "-o", "a.wav", "--force").exit_code == 0
    assert first.read_bytes() == before
    (folder / "music").mkdir()
    assert run("again", "a.wav", "-o", "music").exit_code == 0
    assert [path.suffix for path in (folder / "music").iterdir()] == [".wav"]
