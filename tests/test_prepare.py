"""Requests as an engine sees them."""

from __future__ import annotations

import io

import pytest
import torch

from fanfare.audio.io import encode
from fanfare.errors import InputError
from fanfare.inputs import Inputs
from fanfare.model import Model
from fanfare.prepare import MELODY_MARGIN_S, prepare
from sounds import RATE_HZ, chord


def recordings() -> list[io.BytesIO]:
    """Two that differ only later than a second's piece could use."""
    used_s = 1 + MELODY_MARGIN_S
    sound = chord(used_s + 3.0)
    other = sound.copy()
    other[:, used_s * RATE_HZ :] = 0
    return [io.BytesIO(encode(one, RATE_HZ, "wav")) for one in (sound, other)]


def test_a_melody_is_heard_as_far_as_it_is_used(melody_model: Model) -> None:
    requests = [Inputs(input_audio=one, duration=1, seed=1) for one in recordings()]
    made, _ = prepare(melody_model.bundle, requests, melody_model.settings)
    first, second = (one.job.conditions.prefix for one in made)
    assert first is not None
    assert second is not None
    assert torch.equal(first, second)


@pytest.mark.parametrize("end", [None, 13])
def test_what_is_carried_on_is_heard_to_its_end(melody_model: Model, end: int | None) -> None:
    requests = [
        Inputs(input_audio=one, duration=1, seed=1, continuation=True, continuation_end=end)
        for one in recordings()
    ]
    made, _ = prepare(melody_model.bundle, requests, melody_model.settings)
    for one in made:
        assert one.job.prompt is not None
        assert one.job.prompt.shape[1] == 50 * (end or 1 + MELODY_MARGIN_S + 3)
        assert one.job.n_frames == one.job.prompt.shape[1] + 50


@pytest.mark.parametrize(
    ("name", "value"),
    [("bpm", 90.0), ("key", "D minor"), ("form", "build"), ("chords", "Dm Bb")],
)
def test_models_that_dont_compose_are_told_so(text_model: Model, name: str, value: object) -> None:
    request = Inputs.parse({"prompt": "x", "duration": 1, name: value})
    with pytest.raises(InputError, match="doesn't compose") as caught:
        prepare(text_model.bundle, [request], text_model.settings)
    assert caught.value.field == name


def test_models_that_follow_melodies_follow_chords(melody_model: Model) -> None:
    requests = [
        Inputs.parse({"prompt": "x", "duration": 1, "seed": 1, "bpm": 240, **more})
        for more in ({"chords": "C G"}, {"chords": "C G"}, {"chords": "Dm A"})
    ]
    made, _ = prepare(melody_model.bundle, requests, melody_model.settings)
    first, same, other = (one.job.conditions.prefix for one in made)
    assert first is not None
    assert same is not None
    assert other is not None
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
