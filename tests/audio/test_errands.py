"""Errands as a server sends them: to a process, by JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fanfare.audio.errands import run
from fanfare.audio.io import FileFormat, encode, read_audio
from fanfare.audio.tags import Tags, embed, read_tags
from sounds import RATE_HZ, chord

TAGS = Tags("brass <b>&", 7, {"duration": 2}, "epic-mini", "1.0")


def sent(errand: dict[str, Any]) -> tuple[int, dict[str, Any], str]:
    done = subprocess.run(
        [sys.executable, "-m", "fanfare.audio.errands"],
        input=json.dumps(errand),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, json.loads(done.stdout), done.stderr


def piece(folder: Path, file_format: FileFormat = "wav") -> Path:
    """A tagged file whose name has no ending, as servers keep them."""
    path = folder / "kept"
    path.write_bytes(embed(encode(chord(2.0), RATE_HZ, file_format), file_format, TAGS))
    return path


def test_a_file_is_looked_at(tmp_path: Path) -> None:
    melody = tmp_path / "melody"
    melody.write_bytes(encode(chord(5.0), 44100, "flac"))
    about = {"file": str(melody), "start_s": 1, "end_s": 3}
    code, made, said = sent({"task": "analyse", "file": str(piece(tmp_path)), "melody": about})
    assert (code, said) == (0, "")
    assert made["duration_s"] == 2
    assert len(made["melody"]["chroma"]["values"][0]) == len(made["chroma"]["values"][0])


def test_a_melody_that_is_gone_is_no_harm(tmp_path: Path) -> None:
    about = {"file": str(tmp_path / "gone"), "start_s": 0, "end_s": None}
    assert run({"task": "analyse", "file": str(piece(tmp_path)), "melody": about})["melody"] is None
    beyond = {"file": str(piece(tmp_path)), "start_s": 9, "end_s": None}
    assert (
        run({"task": "analyse", "file": str(piece(tmp_path)), "melody": beyond})["melody"] is None
    )


@pytest.mark.parametrize("kept", ["wav", "mp3", "flac", "ogg"])
@pytest.mark.parametrize("wanted", ["wav", "mp3", "flac"])
def test_files_become_others_and_keep_their_tags(
    tmp_path: Path, kept: FileFormat, wanted: FileFormat
) -> None:
    source, target = piece(tmp_path, kept), tmp_path / "made"
    assert run({"task": "convert", "file": str(source), "to": str(target), "format": wanted}) == {}
    assert read_tags(target) == TAGS
    before, after = read_audio(source), read_audio(target)
    assert after.sample_rate_hz == RATE_HZ
    n = min(before.samples.shape[1], after.samples.shape[1])
    assert n >= 2 * RATE_HZ - 2
    if wanted != "mp3":
        assert after.samples.shape == before.samples.shape
        assert np.abs(after.samples - before.samples).max() <= 1 / 65536
    assert 20 * np.log10(np.abs(before.samples[:, :n]).std() / after.samples.std()) < 1


def test_what_is_no_sound_is_an_error_not_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_text("no sound" * 100)
    code, answer, said = sent({"task": "analyse", "file": str(path)})
    assert (code, said) == (1, "")
    assert "decoded" in answer["error"]


def test_errands_need_no_torch() -> None:
    code = "import sys, fanfare.audio.errands; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
