"""Hearing a piece while it is made: the chunks, and the piece that is left at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fanfare
from fanfare.audio.loudness import CEILING_DBFS, ratio
from fanfare.inputs import Inputs
from fanfare.model import Model
from fanfare.predict import Finished, Started
from tiny import write_checkpoint, write_diffusion

ROUNDING = 1e-5


@pytest.fixture(scope="module")
def stereo_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("weights")
    return fanfare.load(write_checkpoint(folder / "stereo", "stereo"), device="cpu")


@pytest.fixture(scope="module")
def plan_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    folder = tmp_path_factory.mktemp("weights")
    return fanfare.load(write_checkpoint(folder / "plan", "plan"), device="cpu")


def heard(chunks: list[fanfare.Chunk]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Chunks joined [C, N]; asserts that they are in order and without gaps."""
    n = 0
    for chunk in chunks:
        assert chunk.samples.dtype == np.float32
        assert chunk.samples.shape[1] > 0
        assert chunk.start_s == n / chunk.sample_rate_hz
        n += chunk.samples.shape[1]
    assert [chunk.is_last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    return np.concatenate([chunk.samples for chunk in chunks], axis=1)


def assert_stream_is_the_piece(model: Model, request: Inputs) -> None:
    """As it is decoded and unlevelled, and in the file at the end."""
    expected = model.generate(request)
    stream = model.stream(request)
    chunks = list(stream)
    assert np.abs(heard(chunks) - expected.samples).max() < ROUNDING
    assert expected.samples.std() > 0.001
    assert stream.finished is not None
    assert stream.finished.to_bytes() == expected.to_bytes()


@pytest.mark.parametrize("name", ["text_model", "stereo_model", "plan_model"])
def test_chunks_are_the_piece(name: str, request: pytest.FixtureRequest) -> None:
    made = Inputs(prompt="epic brass", duration=3, seed=4, normalization_strategy="clip")
    assert_stream_is_the_piece(request.getfixturevalue(name), made)


def test_a_piece_longer_than_the_models_view(text_model: Model) -> None:
    made = Inputs(prompt="calm piano", duration=32, seed=1, normalization_strategy="clip")
    assert_stream_is_the_piece(text_model, made)


def test_a_continuation_begins_with_its_excerpt(text_model: Model, recording: Path) -> None:
    made = Inputs(
        prompt="epic", duration=1, seed=4, input_audio=str(recording), continuation=True,
        normalization_strategy="clip",
    )  # fmt: skip
    assert_stream_is_the_piece(text_model, made)


def test_first_sound_after_half_a_second_of_music(text_model: Model) -> None:
    stream = text_model.stream(prompt="epic", duration=8, seed=1)
    first = next(stream)
    assert first.start_s == 0
    assert first.duration_s > 0.25
    assert stream.progress is not None
    assert stream.progress.step <= 30  # of 403
    assert stream.finished is None


def test_shorter_chunks_come_sooner(text_model: Model) -> None:
    stream = text_model.stream(prompt="epic", duration=2, seed=1, chunk_s=0.1)
    assert len(list(stream)) > 12


def test_levelled_as_it_goes(text_model: Model) -> None:
    request = Inputs(prompt="epic", duration=4, seed=3)
    stream = text_model.stream(request)
    samples = heard(list(stream))
    assert np.abs(samples).max() <= ratio(CEILING_DBFS)
    assert stream.finished is not None
    assert stream.finished.to_bytes() == text_model.generate(request).to_bytes()
    raw = text_model.generate(prompt="epic", duration=4, seed=3, normalization_strategy="clip")
    assert not np.allclose(samples, raw.samples, atol=1e-3)


def test_what_is_known_of_it(text_model: Model) -> None:
    with text_model.stream(prompt="epic", duration=1, seed=6) as stream:
        assert (stream.seed, stream.notices) == (6, ())
        chunk = next(stream)
        assert (chunk.index, chunk.seed, chunk.sample_rate_hz) == (0, 6, 32000)
        assert not chunk.is_last
    assert list(stream) == []
    assert stream.finished is None


def test_a_random_seed_is_told(text_model: Model) -> None:
    stream = text_model.stream(prompt="epic", duration=1)
    assert {chunk.seed for chunk in stream} == {stream.seed}


def test_several_at_once_keep_apart(text_model: Model) -> None:
    requests = [
        Inputs(prompt=prompt, duration=n, seed=n, normalization_strategy="clip")
        for prompt, n in [("epic brass", 2), ("calm", 1)]
    ]
    events = list(text_model.events(requests, chunk_s=0.3))
    assert isinstance(events[0], Started)
    for index, request in enumerate(requests):
        chunks = [e for e in events if isinstance(e, fanfare.Chunk) and e.index == index]
        alone = text_model.generate(request)
        assert np.abs(heard(chunks) - alone.samples).max() < ROUNDING
    assert [e.index for e in events if isinstance(e, Finished)] == [0, 1]


@pytest.mark.parametrize(("fields", "field"), [
    ({"prompt": ""}, "prompt"), ({"prompt": "x", "durations": 3}, "durations"),
    ({"prompt": "x", "chunk_s": 0}, "chunk_s"), ({"prompt": "x", "chunk_s": 99}, "chunk_s"),
])  # fmt: skip
def test_wrong_requests(text_model: Model, fields: dict[str, Any], field: str) -> None:
    with pytest.raises(fanfare.InputError) as caught:
        text_model.stream(**fields)
    assert caught.value.field == field


def test_a_request_or_fields(text_model: Model) -> None:
    with pytest.raises(fanfare.InputError, match="not both"):
        text_model.stream(Inputs(prompt="epic"), duration=3)


def test_diffusion_cannot_be_streamed(text_folder: Path, tmp_path: Path) -> None:
    model = fanfare.load(text_folder, diffusion=write_diffusion(tmp_path / "mbd"), device="cpu")
    with pytest.raises(fanfare.InputError, match="needs the whole piece"):
        model.stream(prompt="epic", duration=1, multi_band_diffusion=True)
