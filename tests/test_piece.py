"""Audio: names, files, player."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import numpy as np
import pytest

from fanfare.audio.io import read_audio
from fanfare.audio.tags import read_tags
from fanfare.errors import InputError
from fanfare.inputs import Inputs
from fanfare.piece import Audio, default_file_name
from sounds import RATE_HZ, chord


def piece(prompt: str | None = "epic brass", **fields: object) -> Audio:
    given = {"prompt": prompt, **fields}
    return Audio(
        chord(1.0, 2), RATE_HZ, np.zeros((4, 50), np.int64), 7, Inputs.parse(given), "tiny"
    )


@pytest.mark.parametrize(("prompt", "name"), [
    ("Heroic brass, 120 BPM!", "heroic-brass-120-bpm-s7.wav"),
    ("  ../../etc/passwd ", "etc-passwd-s7.wav"),
    ("Ächzende Hörner", "achzende-horner-s7.wav"),
    ("火の鳥", "music-s7.wav"),
    ("x" * 200, "x" * 48 + "-s7.wav"),
    (" ".join(["epic"] * 9), "-".join(["epic"] * 9) + "-s7.wav"),
    (" ".join(["epic"] * 30), "-".join(["epic"] * 9) + "-s7.wav"),
    ("CON", "con-s7.wav"),
])  # fmt: skip
def test_names(prompt: str, name: str) -> None:
    assert default_file_name(Inputs(prompt=prompt), 7, "wav") == name


def test_a_name_without_a_prompt() -> None:
    assert default_file_name(Inputs(input_audio="a.wav"), 0, "mp3") == "music-s0.mp3"


@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
def test_saved_by_ending(tmp_path: Path, suffix: str) -> None:
    path = piece().save(tmp_path / f"a.{suffix}")
    assert path == tmp_path / f"a.{suffix}"
    assert read_audio(path).samples.shape == (2, RATE_HZ)
    tags = read_tags(path)
    assert tags is not None
    assert tags == piece().tags
    assert tags.inputs["seed"] == 7


def test_twenty_four_bits(tmp_path: Path) -> None:
    path = piece().save(tmp_path / "a.wav", bits=24)
    np.testing.assert_allclose(read_audio(path).samples, chord(1.0, 2), atol=1e-7)


def test_saved_without_an_ending(tmp_path: Path) -> None:
    assert piece(output_format="mp3").save(tmp_path / "a").name == "a.mp3"


def test_saved_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert piece().save(tmp_path).name == "epic-brass-s7.wav"
    monkeypatch.chdir(tmp_path)
    assert piece().save() == Path("epic-brass-s7-2.wav")


def test_never_overwritten_by_accident(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(b"mine")
    with pytest.raises(InputError, match="exists"):
        piece().save(path)
    assert path.read_bytes() == b"mine"
    piece().save(path, overwrite=True)
    assert path.read_bytes().startswith(b"RIFF")


def test_unknown_ending(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must end in"):
        piece().save(tmp_path / "a.aac")
    assert not list(tmp_path.iterdir())


def test_player() -> None:
    shown = piece("<b>brass & choir</b>")._repr_html_()
    assert "&lt;b&gt;brass &amp; choir" in shown
    found = re.search(r"data:audio/wav;base64,([^\"]+)", shown)
    assert found
    assert base64.b64decode(found[1]).startswith(b"RIFF")


def test_shown_in_short() -> None:
    assert repr(piece()) == "Audio(1.00 s, 'epic brass', seed=7)"
