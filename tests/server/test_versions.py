"""Which versions there are, how they are found, and what their schemas say."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fanfare.inputs import Inputs
from fanfare.rules import OWN, PUBLISHED, Rules
from fanfare.server.config import REPLICATE_MODEL, REPLICATE_VERSION
from fanfare.server.versions import Catalogue, openapi_schema

CATALOGUE = Catalogue(("epic-mini", "facebook/musicgen-small", "/home/someone/tunes/My Tune"))


def test_every_weights_is_a_model_beside_the_published_one() -> None:
    assert [(one.model, one.weights) for one in CATALOGUE.versions] == [
        (REPLICATE_MODEL, "epic-mini"),
        ("fanfare/epic-mini", "epic-mini"),
        ("facebook/musicgen-small", "facebook/musicgen-small"),
        ("fanfare/my-tune", "/home/someone/tunes/My Tune"),
    ]
    assert len({one.id for one in CATALOGUE.versions}) == 4
    assert all(len(one.id) == 64 for one in CATALOGUE.versions)


def test_descriptions_say_who_plays_and_hide_folders() -> None:
    assert "epic-mini" in CATALOGUE.versions[0].description
    assert "My Tune" in CATALOGUE.versions[3].description
    assert not any("someone" in one.description for one in CATALOGUE.versions)


@pytest.mark.parametrize("one", CATALOGUE.versions, ids=lambda one: one.model)
def test_references(one: Any) -> None:
    for reference in (
        one.id,
        one.id[:8],
        one.model,
        f"{one.model}:{one.id}",
        f"{one.model}:{one.id[:9]}",
    ):
        assert CATALOGUE.find(reference) is one
    assert CATALOGUE.of_model(one.owner, one.name) is one
    assert CATALOGUE.find(one.id[:7]) is None
    assert CATALOGUE.find(one.id + "0") is None


@pytest.mark.parametrize(
    "reference", ["", ":", "/", "a/b", "a/b:", f"a/b:{REPLICATE_VERSION}", "::", "x" * 9]
)
def test_references_to_nothing(reference: str) -> None:
    assert CATALOGUE.find(reference) is None


def test_the_first_weights_serve_the_published_model() -> None:
    assert Catalogue(("a", "b")).versions[0].weights == "a"


def test_search() -> None:
    assert [one.name for one in CATALOGUE.search("musicgen SMALL")] == ["musicgen-small"]
    assert len(CATALOGUE.search("")) == 4
    assert CATALOGUE.search("violin concerto") == []


def test_the_schema_is_that_of_the_published_version() -> None:
    rules = PUBLISHED.within(max_duration_s=120, max_prompt_chars=500)
    schemas = openapi_schema(rules)["components"]["schemas"]
    inputs = schemas["Input"]["properties"]
    assert list(inputs) == [
        "prompt",
        "input_audio",
        "duration",
        "continuation",
        "continuation_start",
        "continuation_end",
        "multi_band_diffusion",
        "normalization_strategy",
        "top_k",
        "top_p",
        "temperature",
        "classifier_free_guidance",
        "output_format",
        "seed",
    ]
    assert inputs["classifier_free_guidance"]["type"] == "integer"
    assert inputs["classifier_free_guidance"]["default"] == 3
    assert [rule["x-order"] for rule in inputs.values()] == list(range(14))
    assert inputs["input_audio"]["format"] == "uri"
    assert inputs["duration"]["maximum"] == 120
    assert inputs["prompt"]["maxLength"] == 500
    assert "default" not in inputs["seed"]
    assert inputs["output_format"] == {
        "allOf": [{"$ref": "#/components/schemas/output_format"}],
        "default": "wav",
        "description": inputs["output_format"]["description"],
        "x-order": 12,
    }
    assert schemas["output_format"]["enum"] == ["wav", "mp3"]
    assert schemas["output_format"]["type"] == "string"
    assert schemas["normalization_strategy"]["enum"] == ["loudness", "clip", "peak", "rms"]
    assert schemas["Output"] == {"type": "string", "title": "Output", "format": "uri"}


def test_own_versions_take_more() -> None:
    assert [one.rules for one in CATALOGUE.versions] == [PUBLISHED, OWN, OWN, OWN]
    schemas = openapi_schema(OWN)["components"]["schemas"]
    assert list(schemas["Input"]["properties"]) == list(Inputs.model_fields)
    assert schemas["Input"]["properties"]["classifier_free_guidance"]["type"] == "number"
    assert schemas["output_format"]["enum"] == ["wav", "mp3", "flac", "ogg"]


@pytest.mark.parametrize("rules", [PUBLISHED, OWN])
def test_every_reference_in_the_schema_leads_somewhere(rules: Rules) -> None:
    document = openapi_schema(rules)
    assert document["openapi"] == "3.0.2"
    assert document["info"]["title"] == "Cog"
    text = json.dumps(document)
    names = [part.split('"')[0] for part in text.split("#/components/schemas/")[1:]]
    assert names
    assert set(names) <= set(document["components"]["schemas"])
