"""`--stdout` and `--play`: what a pipe or a player gets, and how it ends."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from fanfare.audio.io import read_audio
from fanfare.audio.wav import stream_bytes, stream_header
from fanfare.cli import app

ONE = ["generate", "epic", "--duration=1", "--seed=5"]
HEADER_BYTES = 44


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text_folder: Path) -> Path:
    """An empty current folder, the tiny model as the default, and no player."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FANFARE_WEIGHTS", str(text_folder))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def install(folder: Path, name: str, script: str) -> None:
    """A player that is a shell script."""
    player = folder / "bin" / name
    player.write_text(f"#!/bin/sh\n{script}\n")
    player.chmod(0o755)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def piece(data: bytes) -> np.ndarray[tuple[int, int], np.dtype[np.int16]]:
    """Samples [C, N] of a stream, whose header is asserted."""
    assert (data[:4], data[8:16], data[36:40]) == (b"RIFF", b"WAVEfmt ", b"data")
    kind, channels, rate_hz, _, _, bits = struct.unpack("<HHIIHH", data[20:36])
    assert (kind, rate_hz, bits) == (1, 32000, 16)
    return np.frombuffer(data[HEADER_BYTES:], "<i2").reshape(-1, channels).T


@pytest.mark.parametrize("channels", [1, 2])
def test_other_programs_read_the_stream(channels: int) -> None:
    samples = np.random.default_rng(1).uniform(-1, 1, (channels, 5000)).astype(np.float32)
    recording = read_audio(BytesIO(stream_header(channels, 44100) + stream_bytes(samples)))
    assert recording.sample_rate_hz == 44100
    np.testing.assert_allclose(recording.samples, samples, atol=1.01 / 2**15)


def test_stdout_gets_the_piece_and_nothing_else(folder: Path) -> None:
    result = run(*ONE, "--stdout", "--normalization-strategy=clip")
    assert result.exit_code == 0, result.stderr
    assert files(folder) == []
    made = piece(result.stdout_bytes)
    run(*ONE, "-o", "a.wav", "--normalization-strategy=clip")
    expected = piece((folder / "a.wav").read_bytes()[: HEADER_BYTES + made.nbytes])
    assert made.shape == (1, 32000)
    assert np.abs(made.astype(int) - expected).max() <= 1


def test_stdout_and_a_file(folder: Path) -> None:
    result = run(*ONE, "--stdout", "-o", "a.flac")
    assert result.exit_code == 0, result.stderr
    assert piece(result.stdout_bytes).shape == (1, 32000)
    assert "a.flac" in result.stderr
    assert read_audio(folder / "a.flac").duration_s == 1.0


def test_a_reader_that_leaves_is_no_failure(folder: Path) -> None:
    environment = {**os.environ, "PATH": os.defpath}
    for more, made in [((), []), (("-o", "a.wav"), ["a.wav"])]:
        command = [sys.executable, "-m", "fanfare.cli", "generate", "epic", "--duration=12"]
        process = subprocess.Popen(
            [*command, "--stdout", *more],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(HEADER_BYTES)[:4] == b"RIFF"
        process.stdout.close()
        said = process.stderr.read().decode()
        process.stderr.close()
        assert process.wait(60) == 0, said
        assert "rror" not in said
        assert files(folder) == made


@pytest.mark.parametrize("name", ["ffplay", "paplay", "aplay"])
def test_a_player_hears_it(folder: Path, name: str) -> None:
    install(folder, name, f"exec {_cat()} > heard")
    result = run(*ONE, "--play", "--normalization-strategy=clip")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "epic-s5.wav\n"
    heard = piece((folder / "heard").read_bytes())
    assert heard.shape == (1, 32000)
    expected = read_audio(folder / "epic-s5.wav").samples * 2**15
    assert np.abs(heard - expected).max() <= 1


def test_a_player_of_files_hears_it_afterwards(folder: Path) -> None:
    install(folder, "afplay", f'exec {_cat()} "$1" > heard')
    assert run(*ONE, "--play").exit_code == 0
    assert piece((folder / "heard").read_bytes()).shape == (1, 32000)


def test_a_player_that_fails(folder: Path) -> None:
    install(folder, "aplay", "exit 3")
    result = run(*ONE, "--play")
    assert result.exit_code == 1
    assert result.stderr.endswith("error: aplay couldn't play the piece (exit code 3)\n")
    assert files(folder) == ["epic-s5.wav"]


def test_a_player_that_is_closed(folder: Path) -> None:
    install(folder, "ffplay", "exit 0")
    assert run(*ONE, "--play").exit_code == 0
    assert files(folder) == ["epic-s5.wav"]


@pytest.mark.parametrize(("flags", "word"), [
    (["--play"], "play: needs one of ffplay"),
    (["--play", "--stdout"], "play: "),
    (["--stdout", "--count=2"], "count: must be 1 with --stdout"),
    (["--stdout", "--json"], "json: "),
    (["--stdout", "--output-format=mp3"], "output_format: "),
    (["--stdout", "--chunks=2"], "--chunks"),
])  # fmt: skip
def test_what_cannot_be_listened_to(folder: Path, flags: list[str], word: str) -> None:
    result = run(*ONE, *flags)
    assert result.exit_code == 2
    assert word in result.stderr
    assert result.stdout == ""
    assert files(folder) == []


def test_a_terminal_is_spared(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fanfare.cli.listen import check_listening
    from fanfare.errors import InputError

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with pytest.raises(InputError, match="pipe it on"):
        check_listening(play=False, to_stdout=True, as_json=False, count=1, file_format=None)


def _cat() -> str:
    """Where cat is, for a PATH that it isn't on."""
    return next(path for path in ("/bin/cat", "/usr/bin/cat") if Path(path).exists())
