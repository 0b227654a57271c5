"""Which models and versions the API names, and which weights really serve them.

`fofr/musicgen-epic` is always there, with the id that its callers know; every name of weights
that the server was started with is a model of its own beside it.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePath
from typing import Any

from fanfare.inputs import Inputs
from fanfare.rules import OWN, PUBLISHED, Rules
from fanfare.server.config import REPLICATE_MODEL, REPLICATE_VERSION

OWN_OWNER = "fanfare"
MIN_PREFIX_CHARS = 8
SINCE = "2026-11-01T00:00:00.000000Z"
"""Versions are dated by when Fanfare began to serve them: of the originals no date is published."""
COG_VERSION = "0.8.6"
"""The schema is in this version's style; clients treat arrays before 0.3.9 as iterators."""


@dataclass(frozen=True)
class Version:
    """One version of a model.

    Attributes:
        id: 64 hexadecimal digits.
        model: "owner/name".
        weights: the name of the weights that serve it, as the worker knows them.
    """

    id: str
    model: str
    weights: str

    @property
    def owner(self) -> str:
        """The part of `model` before the slash."""
        return self.model.split("/")[0]

    @property
    def name(self) -> str:
        """The part of `model` after the slash."""
        return self.model.split("/")[1]

    @property
    def description(self) -> str:
        """A line for people, which says who really plays."""
        shown = shown_name(self.weights)
        if self.model == REPLICATE_MODEL:
            return f"MusicGen fine-tuned on epic music, as an API. Here the weights are: {shown}."
        return f"Music from a prompt by the weights {shown}."

    @property
    def rules(self) -> Rules:
        """Which inputs it takes: the published version those that its callers know, and no more."""
        return PUBLISHED if self.model == REPLICATE_MODEL else OWN


class Catalogue:
    """The models of a server, found by every kind of reference that clients send."""

    def __init__(self, weights: tuple[str, ...]) -> None:
        """weights: the names that the server was started with, the first serves by default."""
        assert weights, "a server without weights"
        epic = Version(REPLICATE_VERSION, REPLICATE_MODEL, weights[0])
        own = [Version(_version_id(name), _model_name(name), name) for name in weights]
        self.versions = tuple({version.model: version for version in [epic, *own]}.values())

    def of_model(self, owner: str, name: str) -> Version | None:
        """A model's only version."""
        wanted = f"{owner}/{name}".lower()
        return next((found for found in self.versions if found.model.lower() == wanted), None)

    def find(self, reference: str) -> Version | None:
        """What `owner/name`, `owner/name:id`, an id or the unambiguous beginning of one means."""
        model, _, id_ = reference.rpartition(":")
        if "/" in id_:
            model, id_ = id_, ""
        candidates = self.versions
        if model:
            owner, _, name = model.partition("/")
            of_model = self.of_model(owner, name)
            candidates = (of_model,) if of_model else ()
            if not id_:
                return of_model
        id_ = id_.lower()
        if len(id_) < MIN_PREFIX_CHARS:
            return None
        found = [version for version in candidates if version.id.startswith(id_)]
        return found[0] if len(found) == 1 else None

    def search(self, text: str) -> list[Version]:
        """Models whose name or description holds every word of a text."""
        words = text.lower().split()
        return [
            version
            for version in self.versions
            if all(word in f"{version.model} {version.description}".lower() for word in words)
        ]


def shown_name(weights: str) -> str:
    """Weights as clients may see them: of a path, its last part."""
    return PurePath(weights).name if _is_path(weights) else weights


def _is_path(weights: str) -> bool:
    return weights.startswith(("/", ".", "~")) or weights.count("/") > 1 or "\\" in weights


def _version_id(weights: str) -> str:
    return hashlib.sha256(f"fanfare version of {shown_name(weights)}".encode()).hexdigest()


def _model_name(weights: str) -> str:
    """owner/name: hub ids as they are, everything else under this project's name."""
    owner, slash, name = shown_name(weights).rpartition("/")
    slug = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).strip("-.") or "model"
    return f"{owner.lower() if slash else OWN_OWNER}/{slug}"


@lru_cache(maxsize=4)
def openapi_schema(rules: Rules) -> dict[str, Any]:
    """The OpenAPI document of a version, as cog makes it of a predictor with these inputs.

    The same one every time: it is not to be changed.
    """
    inputs, choices = _input_schema(rules)
    schemas: dict[str, Any] = {
        "Input": inputs,
        "Output": {"type": "string", "title": "Output", "format": "uri"},
        **choices,
        **_FIXED_SCHEMAS,
    }
    return {
        "info": {"title": "Cog", "version": "0.1.0"},
        "paths": _PATHS,
        "openapi": "3.0.2",
        "components": {"schemas": schemas},
    }


def _input_schema(rules: Rules) -> tuple[dict[str, Any], Any]:
    """The inputs, and a component for each that is chosen from a list."""
    properties: dict[str, Any] = {}
    choices: dict[str, Any] = {}
    for name, rule in Inputs.json_schema(rules)["properties"].items():
        entry = {**rule, "title": name.replace("_", " ").title()}
        if "enum" in entry:
            choices[name] = {
                "enum": entry.pop("enum"),
                "type": entry.pop("type"),
                "title": name,
                "description": "An enumeration.",
            }
            del entry["title"]
            entry["allOf"] = [{"$ref": f"#/components/schemas/{name}"}]
        properties[name] = entry
    return {"type": "object", "title": "Input", "properties": properties}, choices


def _text(title: str, **more: str) -> dict[str, str]:
    return {"type": "string", "title": title, **more}


_STATUSES = ["starting", "processing", "succeeded", "canceled", "failed"]
_EVENTS = ["start", "output", "logs", "completed"]

_FIXED_SCHEMAS: dict[str, Any] = {
    "Status": {
        "enum": _STATUSES,
        "type": "string",
        "title": "Status",
        "description": "An enumeration.",
    },
    "WebhookEvent": {
        "enum": _EVENTS,
        "type": "string",
        "title": "WebhookEvent",
        "description": "An enumeration.",
    },
    "PredictionRequest": {
        "type": "object",
        "title": "PredictionRequest",
        "properties": {
            "id": _text("Id"),
            "input": {"$ref": "#/components/schemas/Input"},
            "webhook": _text("Webhook", format="uri"),
            "created_at": _text("Created At", format="date-time"),
            "output_file_prefix": _text("Output File Prefix"),
            "webhook_events_filter": {
                "type": "array",
                "items": {"$ref": "#/components/schemas/WebhookEvent"},
                "default": _EVENTS,
            },
        },
    },
    "PredictionResponse": {
        "type": "object",
        "title": "PredictionResponse",
        "properties": {
            "id": _text("Id"),
            "logs": {**_text("Logs"), "default": ""},
            "error": _text("Error"),
            "input": {"$ref": "#/components/schemas/Input"},
            "output": {"$ref": "#/components/schemas/Output"},
            "status": {"$ref": "#/components/schemas/Status"},
            "metrics": {"type": "object", "title": "Metrics"},
            "version": _text("Version"),
            "created_at": _text("Created At", format="date-time"),
            "started_at": _text("Started At", format="date-time"),
            "completed_at": _text("Completed At", format="date-time"),
        },
    },
    "ValidationError": {
        "type": "object",
        "title": "ValidationError",
        "required": ["loc", "msg", "type"],
        "properties": {
            "loc": {
                "type": "array",
                "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
                "title": "Location",
            },
            "msg": _text("Message"),
            "type": _text("Error Type"),
        },
    },
    "HTTPValidationError": {
        "type": "object",
        "title": "HTTPValidationError",
        "properties": {
            "detail": {
                "type": "array",
                "items": {"$ref": "#/components/schemas/ValidationError"},
                "title": "Detail",
            }
        },
    },
}


def _answer(schema: str) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{schema}"}}


_PATHS: dict[str, Any] = {
    "/predictions": {
        "post": {
            "summary": "Predict",
            "description": "Run a single prediction on the model",
            "operationId": "predict_predictions_post",
            "requestBody": {"content": {"application/json": _answer("PredictionRequest")}},
            "responses": {
                "200": {
                    "content": {"application/json": _answer("PredictionResponse")},
                    "description": "Successful Response",
                },
                "422": {
                    "content": {"application/json": _answer("HTTPValidationError")},
                    "description": "Validation Error",
                },
            },
        }
    }
}
