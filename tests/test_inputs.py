"""The published fields, what they forgive, and what they refuse."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fanfare.errors import InputError
from fanfare.inputs import MAX_SEED, Inputs
from fanfare.rules import MAX_PROMPT_CHARS, OWN, PUBLISHED

FIELDS: dict[str, tuple[str, Any]] = {
    "prompt": ("string", None),
    "input_audio": ("string", None),
    "duration": ("integer", 8),
    "continuation": ("boolean", False),
    "continuation_start": ("integer", 0),
    "continuation_end": ("integer", None),
    "multi_band_diffusion": ("boolean", False),
    "normalization_strategy": ("string", "loudness"),
    "top_k": ("integer", 250),
    "top_p": ("number", 0),
    "temperature": ("number", 1),
    "classifier_free_guidance": ("integer", 3),
    "output_format": ("string", "wav"),
    "seed": ("integer", None),
}

NO_INTEGER = ["8", "", "eight", 2.5, True, False, math.nan, math.inf, -math.inf, [8], {}, b"8"]
NO_NUMBER = ["1", "", True, False, math.nan, math.inf, -math.inf, [1.0], {}, 10**400, 1j]
NO_BOOLEAN = [1, 0, "true", "no", 1.0, [], {}, b"\1"]
NO_CHOICE = ["", "WAV", " wav", 1, True, ["wav"], {}, b"wav"]


class NoSource:
    """Neither a path nor a file; its name is the same in every process."""

    def __repr__(self) -> str:
        return "NoSource()"


NO_SOURCE = NoSource()

BAD: dict[str, list[object]] = {
    "prompt": [
        1, 2.0, True, b"brass", ["brass"], {"text": "brass"}, "x" * (MAX_PROMPT_CHARS + 1),
        "brass\0", "\ud800", "", " ", "\n\t ",
    ],
    "input_audio": [1, 2.5, True, b"RIFF", ["a.wav"], {}, "", "  ", NO_SOURCE],
    "duration": [*NO_INTEGER, 0, -1, 601, 10**30, -(10**30), 1e300],
    "continuation": [*NO_BOOLEAN, True],
    "continuation_start": [*NO_INTEGER, -1, -(10**30), 3],
    "continuation_end": [*NO_INTEGER, -2, -(10**30), 3, 0],
    "multi_band_diffusion": NO_BOOLEAN,
    "normalization_strategy": [*NO_CHOICE, "lufs", "none"],
    "top_k": [*NO_INTEGER, -1, -250],
    "top_p": [*NO_NUMBER, -0.01, 1.01, 2],
    "temperature": [*NO_NUMBER, -0.1, 10.5, -1],
    "classifier_free_guidance": [*NO_NUMBER, -1, -0.1, 30.5, 31],
    "output_format": [*NO_CHOICE, "aac", "mp4", "wave"],
    "seed": [*NO_INTEGER, -2, MAX_SEED + 1, 10**30],
    "Prompt": ["brass"],
    "durations": [8],
    "sedd": [1],
    "model_version": ["melody"],
}  # fmt: skip
CASES = [(field, value) for field, values in BAD.items() for value in values]
NOT_PUBLISHED: dict[str, list[object]] = {
    "classifier_free_guidance": [2.5, 0.1],
    "output_format": ["flac", "ogg"],
}
"""Right by this project's own rules alone."""


def test_there_are_enough_bad_values() -> None:
    assert len(CASES) >= 150


@pytest.mark.parametrize(("field", "value"), CASES, ids=lambda value: repr(value)[:24])
def test_a_bad_value_is_refused_by_name(field: str, value: object) -> None:
    given = {"prompt": "brass", field: value}
    with pytest.raises(InputError) as caught:
        Inputs.parse(given)
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: ")
    assert caught.value.hint
    assert len(str(caught.value)) < 300
    with pytest.raises(InputError):
        Inputs(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("field", "value"),
    [(field, value) for field in NOT_PUBLISHED for value in NOT_PUBLISHED[field]],
)
def test_the_published_rules_are_narrower(field: str, value: object) -> None:
    given = {"prompt": "brass", field: value}
    assert getattr(Inputs.parse(given), field) == value
    with pytest.raises(InputError) as caught:
        Inputs.parse(given, rules=PUBLISHED)
    assert caught.value.field == field
    assert caught.value.hint in {
        "must be one of wav, mp3",
        "must be a whole number from 0 to 30",
    }


@pytest.mark.parametrize(("field", "value"), CASES, ids=lambda value: repr(value)[:24])
def test_what_is_bad_by_our_rules_is_bad_by_the_published_ones(field: str, value: object) -> None:
    with pytest.raises(InputError) as caught:
        Inputs.parse({"prompt": "brass", field: value}, rules=PUBLISHED)
    assert caught.value.field == field


def test_versions_may_lack_inputs() -> None:
    rules = replace(PUBLISHED, fields=PUBLISHED.fields[:-1])
    assert "seed" not in Inputs.json_schema(rules)["properties"]
    with pytest.raises(InputError) as caught:
        Inputs.parse({"prompt": "brass", "seed": 3}, rules=rules)
    assert caught.value.field == "seed"
    assert Inputs.parse({"prompt": "brass", "seed": None}, rules=rules).seed is None
    with pytest.raises(InputError, match="leave it out"):
        Inputs.parse({"prompt": "brass", "sed": 3}, rules=rules)


@pytest.mark.parametrize("value", [3, 3.0, np.float32(3), Fraction(3)])
def test_whole_guidance_leaves_the_same_record(value: Any) -> None:
    made = Inputs.parse({"prompt": "x", "classifier_free_guidance": value}, rules=PUBLISHED)
    assert type(made.classifier_free_guidance) is int
    assert made.model_dump_json() == Inputs(prompt="x").model_dump_json()


@pytest.mark.parametrize("value", [2.5, np.float32(2.5), Fraction(5, 2)])
def test_guidance_may_lie_between(value: Any) -> None:
    made = Inputs.parse({"prompt": "x", "classifier_free_guidance": value})
    assert made.record(seed=1)["classifier_free_guidance"] == 2.5
    assert type(made.classifier_free_guidance) is float


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "prompt"),
        ({"prompt": None, "input_audio": None}, "prompt"),
        ({"prompt": "x", "continuation": True}, "continuation"),
        ({"prompt": "x", "continuation_start": 2}, "continuation_start"),
        ({"prompt": "x", "continuation_end": 2}, "continuation_end"),
        ({"input_audio": "a", "continuation_start": 4, "continuation_end": 4}, "continuation_end"),
        ({"input_audio": "a", "continuation_start": 5, "continuation_end": 4}, "continuation_end"),
        ({"input_audio": "a", "continuation_end": 0}, "continuation_end"),
    ],
)
def test_contradictions(given: dict[str, object], field: str) -> None:
    with pytest.raises(InputError) as caught:
        Inputs.parse(given)
    assert caught.value.field == field


def test_schema_is_the_published_one() -> None:
    properties = Inputs.json_schema(PUBLISHED)["properties"]
    assert list(properties) == list(FIELDS)
    for order, (name, (kind, default)) in enumerate(FIELDS.items()):
        assert properties[name]["type"] == kind, name
        assert properties[name].get("default") == default, name
        assert properties[name]["x-order"] == order, name
        assert properties[name]["description"].endswith("."), name
    assert properties["output_format"]["enum"] == ["wav", "mp3"]
    assert properties["normalization_strategy"]["enum"] == ["loudness", "clip", "peak", "rms"]
    assert properties["input_audio"]["format"] == "uri"
    assert (properties["top_p"]["minimum"], properties["top_p"]["maximum"]) == (0, 1)
    assert (properties["seed"]["minimum"], properties["seed"]["maximum"]) == (-1, MAX_SEED)


COMPOSERS = ("bpm", "key", "chords", "form")
"""Of models that compose; the published version has none of them."""


@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("bpm", 96.5, 20), ("bpm", 120, "fast"), ("key", "D minor", "H flat"),
        ("chords", "Dm Bb F,C Gm7/D", "Dm Xyz"), ("form", "intro, climax 8", "sonata"),
    ],
)  # fmt: skip
def test_what_is_composed_can_be_fixed(name: str, right: object, wrong: object) -> None:
    assert getattr(Inputs.parse({"prompt": "x", name: right}), name) == right
    with pytest.raises(InputError) as caught:
        Inputs.parse({"prompt": "x", name: wrong})
    assert caught.value.field == name
    with pytest.raises(InputError, match="no input of this version"):
        Inputs.parse({"prompt": "x", name: right}, rules=PUBLISHED)


def test_defaults_are_the_published_ones() -> None:
    made = Inputs(prompt="brass").model_dump()
    expected = {name: default for name, (_, default) in FIELDS.items()}
    assert made == {**expected, "prompt": "brass", **dict.fromkeys(COMPOSERS)}


def test_none_is_the_default_of_every_field() -> None:
    given = dict.fromkeys(FIELDS) | {"prompt": "brass"}
    assert Inputs.parse(given) == Inputs(prompt="brass")


@pytest.mark.parametrize("value", [8, 8.0, np.int64(8), np.float32(8), Fraction(8)])
def test_any_whole_number_will_do(value: object) -> None:
    made = Inputs.parse({"prompt": "x", "duration": value, "seed": value})
    assert made.duration == 8
    assert type(made.duration) is int
    assert made.seed == 8


@pytest.mark.parametrize("value", [1, 0.5, np.float32(0.5), Fraction(1, 2), np.int32(1)])
def test_any_real_number_will_do(value: Any) -> None:
    made = Inputs.parse({"prompt": "x", "temperature": value})
    assert made.temperature == float(value)
    assert type(made.temperature) is float


def test_the_longest_duration_is_the_callers_choice() -> None:
    long, short = OWN.within(max_duration_s=900), OWN.within(max_duration_s=30)
    assert Inputs.parse({"prompt": "x", "duration": 700}, rules=long).duration == 700
    with pytest.raises(InputError, match="from 1 to 30"):
        Inputs.parse({"prompt": "x", "duration": 31}, rules=short)
    with pytest.raises(InputError, match="from 1 to 30"):
        Inputs.parse({"prompt": "x", "duration": 0}, rules=short)
    schema = Inputs.json_schema(short)
    assert schema["properties"]["duration"]["maximum"] == 30


def test_where_little_is_allowed_the_default_is_no_more() -> None:
    rules = OWN.within(max_duration_s=5)
    assert Inputs.json_schema(rules)["properties"]["duration"]["default"] == 5
    for given in ({}, {"duration": None}):
        assert Inputs.parse({"prompt": "x", **given}, rules=rules).duration == 5
    assert Inputs.parse({"prompt": "x", "duration": 2}, rules=rules).duration == 2


def test_the_longest_prompt_is_the_callers_choice() -> None:
    rules = OWN.within(max_duration_s=30, max_prompt_chars=5)
    assert Inputs.parse({"prompt": "brass"}, rules=rules).prompt == "brass"
    with pytest.raises(InputError, match="at most 5 characters"):
        Inputs.parse({"prompt": "horns!"}, rules=rules)


def test_a_misspelt_field_is_met_with_its_name() -> None:
    with pytest.raises(InputError, match="did you mean duration"):
        Inputs.parse({"prompt": "x", "duratoin": 4})


@pytest.mark.parametrize("given", [None, "brass", 3, ["prompt"]])
def test_only_names_with_values_are_a_request(given: Any) -> None:
    with pytest.raises(InputError):
        Inputs.parse(given)


def test_requests_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Inputs(prompt="x").duration = 9  # type: ignore[misc]


def test_clip_end() -> None:
    assert Inputs(input_audio="a").clip_end_s is None
    assert Inputs(input_audio="a", continuation_end=-1).clip_end_s is None
    assert Inputs(input_audio="a", continuation_end=7).clip_end_s == 7


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("/home/ann/secret/theme.wav", "theme.wav"),
        (Path("/home/ann/theme.mp3"), "theme.mp3"),
        (io.BytesIO(b""), "stream"),
    ],
)
def test_records_name_files_without_their_folders(source: Any, shown: str) -> None:
    record = Inputs(input_audio=source).record(seed=5)
    assert list(record) == [*FIELDS, *COMPOSERS]
    assert record["input_audio"] == shown
    assert record["seed"] == 5


def test_records_hold_no_base64() -> None:
    record = Inputs(input_audio="data:audio/wav;base64," + "A" * 10_000).record(seed=0)
    assert record["input_audio"].startswith("data:audio/wav;base64,sha256:")
    assert len(record["input_audio"]) < 80
