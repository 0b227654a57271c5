"""Every input changes what it should: heard in what the official client gets of a real server."""

from __future__ import annotations

import base64
import functools
import io
import itertools
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from replicate.client import Client
from replicate.prediction import Prediction

from fanfare.audio.io import encode, read_audio
from fanfare.audio.loudness import loudness_lufs
from fanfare.inputs import Inputs
from fanfare.rules import PUBLISHED
from fanfare.server.config import REPLICATE_VERSION

Sound = npt.NDArray[np.float32]

RATE_HZ, FRAME = 32000, 640
EPIC = {"prompt": "heroic brass and strings, 120 bpm", "seed": 7, "duration": 1}
SOLO = {"prompt": "solo flute and strings", "seed": 7, "duration": 3}
FULL = {"prompt": "soaring strings and brass", "seed": 7, "duration": 4}
TUNE = (62, 65, 69, 74, 72, 69, 65, 64)
OTHER_TUNE = (61, 63, 66, 68, 70, 66, 63, 61)
D_MINOR, G_SHARP_MINOR = {2, 4, 5, 7, 9, 10, 0}, {8, 10, 11, 1, 3, 4, 6}


def tune(notes: tuple[int, ...]) -> Sound:
    """Notes of half a second, by their MIDI numbers: [1, N]."""
    time_s = np.arange(RATE_HZ // 2) / RATE_HZ
    envelope = np.minimum(1, time_s / 0.02) * np.exp(-1.5 * time_s)
    pitches = [440 * 2 ** ((note - 69) / 12) for note in notes]
    waves = [sum(np.sin(2 * np.pi * hz * k * time_s) / k for k in (1, 2, 3, 4)) for hz in pitches]
    return np.concatenate([0.2 * envelope * wave for wave in waves])[None].astype(np.float32)


@functools.cache
def recorded(notes: tuple[int, ...]) -> bytes:
    """The same as a file."""
    return encode(tune(notes), RATE_HZ, "wav")


CASES: dict[str, dict[str, Any]] = {
    "plain": EPIC,
    "again": EPIC,
    "D minor": {**SOLO, "prompt": "soaring strings and brass in D minor"},
    "G sharp minor": {**SOLO, "prompt": "soaring strings and brass in G sharp minor"},
    "three seconds": {**EPIC, "duration": 3},
    "no melody": SOLO,
    "melody": {**SOLO, "input_audio": TUNE},
    "other melody": {**SOLO, "input_audio": OTHER_TUNE},
    "goes on": {**EPIC, "input_audio": TUNE, "continuation": True},
    "from 1": {**EPIC, "input_audio": TUNE, "continuation": True, "continuation_start": 1},
    "to 2": {**EPIC, "input_audio": TUNE, "continuation": True, "continuation_end": 2},
    "from 2": {**EPIC, "input_audio": TUNE, "continuation": True, "continuation_start": 2},
    "diffusion": {**EPIC, "multi_band_diffusion": True},
    "clip": {**EPIC, "normalization_strategy": "clip"},
    "peak": {**EPIC, "normalization_strategy": "peak"},
    "rms": {**EPIC, "normalization_strategy": "rms"},
    "top_k 20": {**EPIC, "top_k": 20},
    "top_k 1": {**EPIC, "top_k": 1},
    "top_p 0.8": {**EPIC, "top_p": 0.8},
    "top_p 1e-9": {**EPIC, "top_p": 1e-9},
    "temperature 1.5": {**EPIC, "temperature": 1.5},
    "temperature 0": {**EPIC, "temperature": 0},
    "guidance 1": {**EPIC, "classifier_free_guidance": 1},
    "mp3": {**EPIC, "output_format": "mp3"},
    "seed 8": {**EPIC, "seed": 8},
    "seed 0": {**EPIC, "seed": 0},
    "seed 0 again": {**EPIC, "seed": 0},
    "any seed": {**EPIC, "seed": -1},
    "no seed": {**EPIC, "seed": None},
}
OWN_CASES: dict[str, dict[str, Any]] = {
    "flac": {**EPIC, "output_format": "flac"},
    "ogg": {**EPIC, "output_format": "ogg"},
    "guidance 2.5": {**EPIC, "classifier_free_guidance": 2.5},
    "150 bpm": {**SOLO, "bpm": 150},
    "60 bpm": {**SOLO, "bpm": 60},
    "key": {**SOLO, "key": "G# minor"},
    "chords": {**SOLO, "chords": "G#m"},
    "build": {**FULL, "form": "build", "normalization_strategy": "clip"},
    "fade": {**FULL, "form": "fade", "normalization_strategy": "clip"},
}
"""What our own versions take beyond the published one."""


@contextmanager
def _server(home: Path) -> Iterator[str]:
    """The URL of `fanfare serve`, in processes of its own."""
    command = [sys.executable, "-m", "fanfare.cli", "serve", "--port", "0", "--home", str(home)]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert process.stdout is not None
        try:
            found = re.search(r"http://[\w.:]+", process.stdout.readline())
            assert found is not None, (home / "log").read_text()
            yield found[0]
        finally:
            process.terminate()
            process.wait(60)
            process.stdout.close()


class Heard:
    """All cases, ordered at once so that they are played together."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.ordered = {name: self.order(case) for name, case in CASES.items()}
        self.ordered |= {name: self.order(case, is_own=True) for name, case in OWN_CASES.items()}

    def order(self, case: dict[str, Any], *, is_own: bool = False) -> Prediction:
        """A prediction; recordings are uploaded by the client."""
        given = dict(case)
        if "input_audio" in given:
            given["input_audio"] = io.BytesIO(recorded(given["input_audio"]))
        make = self._client.predictions.create
        if is_own:
            return make(model="fanfare/epic-mini", input=given)
        return make(version=REPLICATE_VERSION, input=given)

    def done(self, name: str) -> Prediction:
        """A case that is over."""
        prediction = self.ordered[name]
        prediction.wait()
        return prediction

    def file(self, name: str) -> bytes:
        """The file that it became."""
        prediction = self.done(name)
        assert prediction.status == "succeeded", prediction.error
        assert isinstance(prediction.output, str)
        head, _, body = prediction.output.partition(",")
        assert head.startswith("data:audio/"), head
        return base64.b64decode(body)

    @functools.cache  # noqa: B019  it lives as long as its tests
    def sound(self, name: str) -> Sound:
        """Its samples [1, N]."""
        recording = read_audio(io.BytesIO(self.file(name)))
        assert recording.sample_rate_hz == RATE_HZ
        return recording.samples

    def seed(self, name: str) -> int:
        """The seed that it was made with, as its logs say."""
        found = re.search(r"Using seed: (\d+)", self.done(name).logs or "")
        assert found is not None
        return int(found[1])


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Heard]:
    with pytest.MonkeyPatch.context() as patch, _server(tmp_path_factory.mktemp("home")) as url:
        patch.setenv("REPLICATE_POLL_INTERVAL", "0.1")
        client = Client(api_token="any", base_url=url)
        yield Heard(client)
        client._client.close()


def dbfs(ratio: float) -> float:
    return 20 * float(np.log10(ratio))


def chroma(sound: Sound) -> npt.NDArray[np.float64]:
    """The strength of the twelve pitch classes, 20 times a second: [12, columns]."""
    size, step = 8192, 1600
    hz = np.fft.rfftfreq(size, 1 / RATE_HZ)
    used = (hz > 110) & (hz < 2000)
    classes = np.round(12 * np.log2(hz[used] / 440) + 69).astype(int) % 12
    padded = np.pad(sound.mean(axis=0), size // 2)
    starts = range(0, len(padded) - size, step)
    window = np.hanning(size)
    powers = [np.abs(np.fft.rfft(window * padded[i : i + size]))[used] for i in starts]
    return np.stack([np.bincount(classes, power, 12) for power in powers], axis=1)


def agreement(one: Sound, other: Sound) -> float:
    """How alike two melodies are: the mean correlation of their pitch classes."""
    first, second = chroma(one), chroma(other)
    n = min(first.shape[1], second.shape[1])
    columns = zip(first[:, :n].T, second[:, :n].T, strict=True)
    return float(np.mean([np.corrcoef(a, b)[0, 1] for a, b in columns if a.std() and b.std()]))


def likeness(one: Sound, other: Sound) -> float:
    """The correlation of two sounds' spectrograms."""
    n = min(one.shape[1], other.shape[1])
    pictures = []
    for sound in (one, other):
        frames = np.lib.stride_tricks.sliding_window_view(sound.mean(axis=0)[:n], 1024)[::512]
        spectra = np.abs(np.fft.rfft(frames * np.hanning(1024)))[:, :256]
        pictures.append(np.log(spectra + 1e-3).ravel())
    return float(np.corrcoef(*pictures)[0, 1])


def test_every_input_has_a_case() -> None:
    for cases, fields in (
        (CASES, PUBLISHED.fields or ()),
        (CASES | OWN_CASES, Inputs.model_fields),
    ):
        given = [item for case in cases.values() for item in case.items()]
        assert {name for name, value in given if value != EPIC.get(name, ...)} == set(fields)


def test_prompt(heard: Heard) -> None:
    """A key that the prompt names is the one that is played."""
    for name, scale, other in (
        ("D minor", D_MINOR, G_SHARP_MINOR),
        ("G sharp minor", G_SHARP_MINOR, D_MINOR),
    ):
        strength = chroma(heard.sound(name)).sum(axis=1)
        assert strength[list(scale)].sum() > 1.5 * strength[list(other)].sum()


def test_key_and_chords(heard: Heard) -> None:
    for name in ("key", "chords"):
        strength = chroma(heard.sound(name)).sum(axis=1)
        assert strength[list(G_SHARP_MINOR)].sum() > 1.5 * strength[list(D_MINOR)].sum()


def test_bpm(heard: Heard) -> None:
    made = [heard.sound(name) for name in ("no melody", "60 bpm", "150 bpm")]
    assert not any(np.array_equal(a, b) for a, b in itertools.combinations(made, 2))


def test_form(heard: Heard) -> None:
    """One grows, the other fades."""
    growth = {}
    for name in ("build", "fade"):
        first, second = np.split(heard.sound(name)[0].astype(np.float64), 2)
        growth[name] = dbfs(float(np.sqrt((second**2).mean() / (first**2).mean())))
    assert growth["build"] > growth["fade"] + 3


@pytest.mark.parametrize(("name", "duration"), [("plain", 1), ("three seconds", 3), ("melody", 3)])
def test_duration(heard: Heard, name: str, duration: int) -> None:
    assert abs(heard.sound(name).shape[1] - duration * RATE_HZ) <= FRAME


def test_input_audio_is_the_melody(heard: Heard) -> None:
    made = {name: heard.sound(name) for name in ("no melody", "melody", "other melody")}
    for notes, followed, not_followed in (
        (TUNE, "melody", "other melody"),
        (OTHER_TUNE, "other melody", "melody"),
    ):
        close = agreement(made[followed], tune(notes))
        assert close > 0.5
        assert close > agreement(made["no melody"], tune(notes)) + 0.3
        assert close > agreement(made[not_followed], tune(notes)) + 0.3


@pytest.mark.parametrize(
    ("name", "excerpt_s"), [("goes on", 4), ("from 1", 3), ("to 2", 2), ("from 2", 2)]
)
def test_continuation_keeps_its_excerpt_and_adds_to_it(
    heard: Heard, name: str, excerpt_s: int
) -> None:
    made = heard.sound(name)
    assert abs(made.shape[1] - (excerpt_s + 1) * RATE_HZ) <= FRAME
    new = made[:, excerpt_s * RATE_HZ :]
    assert dbfs(float(np.sqrt((new**2).mean()))) > -40


@pytest.mark.parametrize(("name", "start_s"), [("to 2", 0), ("from 1", 1), ("from 2", 2)])
def test_continuation_start_and_end_choose_the_excerpt(
    heard: Heard, name: str, start_s: int
) -> None:
    kept = heard.sound(name)[:, : 2 * RATE_HZ]
    parts = [tune(TUNE)[:, s * RATE_HZ : (s + 2) * RATE_HZ] for s in (0, 1, 2)]
    by_part = [likeness(kept, part) for part in parts]
    assert int(np.argmax(by_part)) == start_s, by_part
    assert by_part[start_s] > 0.6


def test_multi_band_diffusion_says_what_is_missing(heard: Heard) -> None:
    prediction = heard.done("diffusion")
    assert prediction.status == "failed"
    assert re.search("multi_band_diffusion: .*without diffusion weights", prediction.error or "")


def test_normalization_strategy(heard: Heard) -> None:
    made = {name: heard.sound(name) for name in ("clip", "peak", "rms")}
    assert loudness_lufs(heard.sound("plain"), RATE_HZ) == pytest.approx(-14, abs=0.2)
    assert dbfs(float(np.abs(made["peak"]).max())) == pytest.approx(-1, abs=0.01)
    power = float((made["rms"].astype(np.float64) ** 2).mean())
    assert dbfs(power**0.5) == pytest.approx(-18, abs=0.1)
    assert dbfs(float(np.abs(made["clip"]).max())) <= -1
    # What is left alone and what is brought to a peak differ by one factor.
    factor = np.abs(made["peak"]).max() / np.abs(made["clip"]).max()
    assert np.abs(made["peak"] - factor * made["clip"]).max() < (1 + factor) / 2**15
    assert len({heard.file(name) for name in ("plain", "clip", "peak", "rms")}) == 4


def test_the_likeliest_tokens_by_three_ways(heard: Heard) -> None:
    """top_k=1, hardly any top_p and no temperature: all take the likeliest token."""
    greedy = heard.sound("temperature 0")
    assert np.array_equal(heard.sound("top_k 1"), greedy)
    assert np.array_equal(heard.sound("top_p 1e-9"), greedy)
    assert not np.array_equal(heard.sound("plain"), greedy)


@pytest.mark.parametrize(
    "name", ["top_k 20", "top_p 0.8", "temperature 1.5", "guidance 1", "guidance 2.5", "seed 8"]
)
def test_how_tokens_are_drawn_changes_the_music(heard: Heard, name: str) -> None:
    others = ["plain", "temperature 0", "top_k 20", "top_p 0.8", "temperature 1.5", "guidance 1"]
    for other in others:
        assert other == name or not np.array_equal(heard.sound(name), heard.sound(other))


@pytest.mark.parametrize("name", ["mp3", "ogg"])
def test_compressed_files_hold_the_same_music(heard: Heard, name: str) -> None:
    data, plain = heard.file(name), heard.sound("plain")
    assert data.startswith({"mp3": b"ID3", "ogg": b"OggS"}[name])
    assert abs(heard.sound(name).shape[1] - plain.shape[1]) <= 4 * FRAME
    assert likeness(heard.sound(name), plain) > 0.9


def test_flac_holds_the_very_same_samples(heard: Heard) -> None:
    assert heard.file("flac").startswith(b"fLaC")
    assert np.array_equal(heard.sound("flac"), heard.sound("plain"))


@pytest.mark.parametrize(("one", "other"), [("plain", "again"), ("seed 0", "seed 0 again")])
def test_the_same_seed_gives_the_same_bytes(heard: Heard, one: str, other: str) -> None:
    assert heard.file(one) == heard.file(other)


def test_seeds(heard: Heard) -> None:
    assert heard.seed("plain") == 7
    assert heard.seed("seed 0") == 0
    names = ("plain", "seed 8", "seed 0", "any seed", "no seed")
    assert len({heard.file(name) for name in names}) == len(names)
    # A seed that was drawn is reported, and gives the same again.
    drawn = heard.seed("any seed")
    heard.ordered["drawn"] = heard.order({**EPIC, "seed": drawn})
    assert np.array_equal(heard.sound("drawn"), heard.sound("any seed"))
