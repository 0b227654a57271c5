"""Files that hold no usable sound: always a typed error that names the input."""

from __future__ import annotations

from pathlib import Path

import pytest

from fanfare.audio.io import read_audio
from fanfare.errors import AudioFileError
from sounds import broken_files


def test_every_broken_file_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    files = broken_files(tmp_path)
    assert len(files) >= 40
    for name, path in files.items():
        with pytest.raises(AudioFileError) as caught:
            read_audio(path)
        assert caught.value.field == "input_audio", name
        assert str(caught.value).startswith("input_audio: "), name
    assert capfd.readouterr() == ("", ""), "the decoder printed something"
