"""Melody models hear a recording's tune; whoever hasn't got the separator is told so."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fanfare
from fanfare import prepare as prepare_module
from fanfare.audio.io import encode
from fanfare.errors import CheckpointError, InputError, MissingExtraError
from fanfare.model import Model
from fanfare.nn.melody import chroma
from fanfare.nn.resample import resample_frac
from fanfare.nn.separation import Separator, separate
from fanfare.predict import Finished, Started
from fanfare.weights import separator as separator_module
from fanfare.weights.separator import load_separator
from sounds import RATE_HZ, chord, sound_file
from stems import write_separator

REQUEST: dict[str, Any] = {"prompt": "epic", "duration": 1, "seed": 3, "temperature": 0}


@pytest.fixture(scope="module")
def separator_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield write_separator(tmp_path_factory.mktemp("separator") / "tiny.safetensors", "safetensors")
    load_separator.cache_clear()


def load(folder: Path, monkeypatch: pytest.MonkeyPatch, mode: str, separator: str) -> Model:
    monkeypatch.setenv("FANFARE_MELODY_SEPARATION", mode)
    monkeypatch.setenv("FANFARE_SEPARATOR", separator)
    return fanfare.load(folder, device="cpu")


def made(model: Model, **fields: Any) -> tuple[Started, np.ndarray]:
    """How it starts, and the codes that it makes of two seconds of sound."""
    recording = io.BytesIO(sound_file("flac", 2.0))
    events = list(model.events([{**REQUEST, "input_audio": recording, **fields}]))
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Finished)
    return events[0], events[-1].audio.codes


class Heard:
    """Keeps what the separator is given and what comes of that: random weights' work, or `tune`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tune: torch.Tensor | None = None) -> None:
        self.calls: list[tuple[torch.Tensor, torch.Tensor, int]] = []
        self.tune = tune
        monkeypatch.setattr(prepare_module, "separate", self.separate)

    def separate(
        self, separator: Separator, wav: torch.Tensor, rate_hz: int, **options: Any
    ) -> torch.Tensor:
        tune = separate(separator, wav, rate_hz, **options)
        assert tune.shape[1] in (wav.shape[1], wav.shape[1] - 1)
        tune = tune if self.tune is None else self.tune
        self.calls.append((wav, tune, options["seed"]))
        return tune


def test_the_tune_is_followed_and_not_the_mix(
    melody_folder: Path, separator_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    high = 0.2 * torch.sin(torch.arange(2 * RATE_HZ) * (2 * np.pi * 466.16 / RATE_HZ))
    heard = Heard(monkeypatch, tune=high[None])
    on = load(melody_folder, monkeypatch, "on", str(separator_file))
    started, codes = made(on)
    assert started.notices == ()
    (wav, tune, seed), *more = heard.calls
    assert not more
    assert seed == started.seeds[0] == 3
    mix, voice = (chroma(sound, RATE_HZ).argmax(dim=1) for sound in (wav, tune))
    assert not torch.equal(mix, voice)

    # A model without separation makes the same of the tune alone.
    off = load(melody_folder, monkeypatch, "off", str(separator_file))
    as_tune = io.BytesIO(encode(tune.numpy(), RATE_HZ, "flac", 24))
    np.testing.assert_array_equal(made(off, input_audio=as_tune)[1], codes)
    assert not np.array_equal(made(off)[1], codes)
    assert len(heard.calls) == 1, "off is off"


def test_auto_uses_a_separator_that_is_there(
    melody_folder: Path, separator_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = [
        made(load(melody_folder, monkeypatch, mode, str(separator_file))) for mode in ("on", "auto")
    ]
    assert results[0][0] == results[1][0]
    np.testing.assert_array_equal(results[0][1], results[1][1])


def test_long_pieces_and_batches_are_separated_once_a_request(
    melody_folder: Path, separator_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard(monkeypatch)
    model = load(melody_folder, monkeypatch, "on", str(separator_file))
    recordings = [io.BytesIO(sound_file("flac", seconds)) for seconds in (1.0, 2.0)]
    model.generate_batch([
        {**REQUEST, "duration": 31, "input_audio": recordings[0], "seed": 5},
        {**REQUEST, "input_audio": recordings[1], "seed": 6},
        {**REQUEST},
    ])  # fmt: skip
    assert [(wav.shape[1], seed) for wav, _, seed in heard.calls] == [
        (RATE_HZ, 5), (2 * RATE_HZ, 6),
    ]  # fmt: skip


def test_what_needs_no_separator_looks_for_none(
    melody_folder: Path, text_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_separator(source: str) -> Path:
        raise AssertionError(source)

    monkeypatch.setattr(prepare_module, "find_separator", find_separator)
    for folder in (melody_folder, text_folder):
        model = load(folder, monkeypatch, "on", "htdemucs")
        assert made(model, continuation=True)[0].notices == ()
        assert made(model, input_audio=None)[0].notices == ()


@pytest.mark.parametrize("missing", ["package", "weights"])
def test_auto_says_what_is_missing_and_goes_on(
    melody_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    missing: str,
) -> None:
    words = hide(missing, monkeypatch)
    started, codes = made(load(melody_folder, monkeypatch, "auto", "htdemucs"))
    (notice,) = started.notices
    assert words in notice
    assert "\n" not in notice
    assert [record.getMessage() for record in caplog.records] == [notice]
    np.testing.assert_array_equal(
        made(load(melody_folder, monkeypatch, "off", "htdemucs"))[1], codes
    )


@pytest.mark.parametrize(
    ("missing", "error"), [("package", MissingExtraError), ("weights", CheckpointError)]
)
def test_on_insists(
    melody_folder: Path, monkeypatch: pytest.MonkeyPatch, missing: str, error: type[Exception]
) -> None:
    words = hide(missing, monkeypatch)
    model = load(melody_folder, monkeypatch, "on", "htdemucs")
    recording = io.BytesIO(sound_file("flac", 2.0))
    with pytest.raises(error) as caught:
        next(model.events([{**REQUEST, "input_audio": recording}]))
    assert words in str(caught.value)


def hide(what: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Act as on a machine without it; the words by which it is named."""
    if what == "package":
        monkeypatch.setattr(separator_module, "find_spec", lambda name: None)
        return "pip install 'fanfare-music[melody]'"
    error = CheckpointError("adefossez/HTDemucs can't be reached")
    monkeypatch.setattr(separator_module, "_published", lambda: error)
    return "adefossez/HTDemucs can't be reached"


def test_damaged_weights_are_no_matter_of_taste(
    melody_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damaged = tmp_path / "damaged.th"
    damaged.write_bytes(bytes(100))
    model = load(melody_folder, monkeypatch, "auto", str(damaged))
    with pytest.raises(CheckpointError, match="damaged"):
        made(model)


def test_the_setting_takes_three_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FANFARE_MELODY_SEPARATION", "perhaps")
    with pytest.raises(InputError, match="'auto', 'on' or 'off'") as caught:
        fanfare.load("epic-mini")
    assert caught.value.field == "FANFARE_MELODY_SEPARATION"


@pytest.mark.parametrize("rate_hz", [44100, 48000])
def test_excerpts_are_resampled_as_the_published_models_did(
    text_model: Model, rate_hz: int
) -> None:
    stereo = chord(1.5, channels=2, rate_hz=rate_hz)
    file = io.BytesIO(encode(stereo, rate_hz, "wav", 24))
    piece = text_model.generate(**REQUEST, input_audio=file, continuation=True)
    quantised = torch.from_numpy(np.rint(stereo * 2.0**23) / 2.0**23).float()
    mono = resample_frac(quantised, rate_hz, RATE_HZ).mean(dim=0, keepdim=True)
    with torch.inference_mode():
        given = text_model.bundle.codec.encode(mono[None])[0].numpy()
    np.testing.assert_array_equal(piece.codes[:, :-50], given)
