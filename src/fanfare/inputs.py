"""Inputs: the one definition of what a generation takes.

Python calls, the command line's flags and the JSON schemas all come from the class below. Names,
order and defaults are those of the published predictor, so that its callers need no change;
`fanfare.rules` says which versions take less than the class does. Wrong values are refused before
anything is computed.
"""

from __future__ import annotations

import hashlib
import numbers
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import IO, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from fanfare.errors import InputError
from fanfare.rules import MAX_PROMPT_CHARS, OWN, Rules

NormalizationStrategy = Literal["loudness", "clip", "peak", "rms"]
OutputFormat = Literal["wav", "mp3", "flac", "ogg"]
AudioSource = str | Path | IO[bytes]

DEFAULT_DURATION_S = 8
"""Where longer pieces than that aren't allowed, the longest is the default."""
MAX_SEED = 2**32 - 1
"""A CPU generator keeps the low 32 bits of its seed: beyond them two seeds would sound alike."""
RANDOM_SEED = -1
CLIP_END = -1


def _real(value: object) -> object:
    """Any real number as a float; True is no number, and what overflows is infinite."""
    if isinstance(value, bool):
        raise ValueError("true and false are not numbers")
    if isinstance(value, numbers.Real):
        try:
            return float(value)
        except OverflowError:
            return float("inf")
    return value


def _whole(value: object) -> object:
    """Any whole number as an int: 8.0 and numpy's integers too."""
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    number = _real(value)
    return int(number) if isinstance(number, float) and number.is_integer() else value


def _plain(value: float) -> int | float:
    """A number as an int where it is whole: 3 and 3.0 leave the same records."""
    return int(value) if value.is_integer() else value


def _audio_source(value: object) -> object:
    """A path, a data: URI, or an open binary file; opened only when the audio is needed."""
    if isinstance(value, str) and not value.strip():
        raise ValueError("an empty path")
    if isinstance(value, str | Path) or callable(getattr(value, "read", None)):
        return value
    raise ValueError("not a path, a data: URI or a binary file")


def describe_source(source: AudioSource) -> str:
    """An audio source as a word for tags and logs: no folder names, no megabytes of base64."""
    if isinstance(source, str) and source[:5].lower() == "data:":
        digest = hashlib.sha256(source.encode("utf-8", "replace")).hexdigest()[:16]
        return f"{source[:40].split(',')[0]},sha256:{digest}"
    if isinstance(source, str | Path):
        return Path(source).name
    return Path(str(getattr(source, "name", "stream"))).name


Whole = Annotated[int, BeforeValidator(_whole)]
Real = Annotated[float, BeforeValidator(_real)]
Number = Annotated[
    float,
    BeforeValidator(_real),
    AfterValidator(_plain),
    PlainSerializer(lambda value: value, return_type=int | float),
]
Source = Annotated[
    AudioSource,
    PlainValidator(_audio_source),
    PlainSerializer(describe_source, return_type=str),
    WithJsonSchema({"type": "string", "format": "uri"}),
]


class Inputs(BaseModel):
    """One request for music. None stands for a field's default everywhere.

    Construction raises InputError, which names the field, what came and what to do.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    prompt: str | None = Field(
        default=None,
        max_length=MAX_PROMPT_CHARS,
        description="The music in words: instruments, mood, tempo, key, genre.",
    )
    input_audio: Source | None = Field(
        default=None,
        description="A recording to build on: carried on if `continuation` is true, otherwise the "
        "melody to follow.",
    )
    duration: Whole = Field(default=DEFAULT_DURATION_S, ge=1, description="Seconds of new music.")
    continuation: bool = Field(
        default=False,
        description="Carry `input_audio` on from where it ends; if false, only its melody is used.",
    )
    continuation_start: Whole = Field(
        default=0, ge=0, description="Second of `input_audio` at which the part to use begins."
    )
    continuation_end: Annotated[int, Field(ge=CLIP_END), BeforeValidator(_whole)] | None = Field(
        default=None,
        description="Second of `input_audio` at which the part to use stops; none or -1: its end.",
    )
    multi_band_diffusion: bool = Field(
        default=False,
        description="Turn tokens into sound by Multi-Band Diffusion: slower, and with weights "
        "of its own.",
    )
    normalization_strategy: NormalizationStrategy = Field(
        default="loudness",
        description="How the level is set: to -14 LUFS (loudness), to a peak (peak), to a power "
        "(rms), or left alone and cut off at a ceiling (clip).",
    )
    top_k: Whole = Field(
        default=250,
        ge=0,
        description="Draw each token among this many of the likeliest; 0: among all.",
    )
    top_p: Real = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Draw among the likeliest tokens whose chances add up to this; 0: use `top_k`.",
    )
    temperature: Real = Field(
        default=1.0,
        ge=0,
        le=10,
        description="Higher is more adventurous; 0 takes the likeliest token.",
    )
    classifier_free_guidance: Number = Field(
        default=3, ge=0, le=30, description="How strongly the music is held to the prompt."
    )
    output_format: OutputFormat = Field(default="wav", description="The kind of file to return.")
    seed: Annotated[int, Field(ge=RANDOM_SEED, le=MAX_SEED), BeforeValidator(_whole)] | None = (
        Field(
            default=None,
            description="The same seed gives the same music; none or -1 draws one and reports it.",
        )
    )
    bpm: Annotated[float, Field(ge=30, le=300), BeforeValidator(_real)] | None = Field(
        default=None,
        description="Beats a minute, for models that compose; it outranks the prompt.",
    )
    key: str | None = Field(
        default=None,
        max_length=40,
        description='The key, for models that compose: "D minor", "F# dorian", "Bb".',
    )
    chords: str | None = Field(
        default=None,
        max_length=2000,
        description='Chords, a bar a word, repeated to the end: "Dm Bb F,C Gm7/D"; for models that '
        "compose or follow melodies.",
    )
    form: str | None = Field(
        default=None,
        max_length=400,
        description="For models that compose: steady, build, fade, hit, or the parts, as in "
        '"intro, build, climax 8, break, climax, outro".',
    )

    @classmethod
    def parse(cls, values: Mapping[str, object], *, rules: Rules = OWN) -> Inputs:
        """Check a request; InputError names the first field that is wrong."""
        if not isinstance(values, Mapping):
            raise InputError("inputs", values, "give the inputs as names with values")
        return cls.model_validate(dict(values), context=rules)

    @classmethod
    def json_schema(cls, rules: Rules = OWN) -> dict[str, Any]:
        """The JSON schema of a request, fields in their order (`x-order`)."""
        properties: dict[str, Any] = {}
        fields = cls.model_json_schema()["properties"]
        for order, name in enumerate(rules.fields or fields):
            made = fields[name]
            kinds = [kind for kind in made.pop("anyOf", []) if kind.get("type") != "null"]
            entry = {**made, **(kinds[0] if kinds else {}), "x-order": order}
            if entry.get("default", ...) is None:
                del entry["default"]
            properties[name] = entry
        properties["prompt"]["maxLength"] = min(rules.max_prompt_chars, MAX_PROMPT_CHARS)
        properties["duration"] |= {
            "maximum": rules.max_duration_s,
            "default": min(DEFAULT_DURATION_S, rules.max_duration_s),
        }
        properties["output_format"]["enum"] = list(rules.output_formats)
        guidance = "integer" if rules.has_whole_guidance else "number"
        properties["classifier_free_guidance"]["type"] = guidance
        return {
            "type": "object",
            "title": "Input",
            "properties": properties,
            "additionalProperties": False,
        }

    @model_validator(mode="wrap")
    @classmethod
    def _typed_errors(
        cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Self:
        rules = _rules(info)
        if isinstance(value, Mapping):
            value = {name: given for name, given in value.items() if given is not None}
            for name in value:
                if name in cls.model_fields and not rules.has(name):
                    raise InputError(name, value[name], "no input of this version: leave it out")
            if rules.max_duration_s < DEFAULT_DURATION_S:
                value.setdefault("duration", rules.max_duration_s)
        try:
            return handler(value)  # type: ignore[no-any-return]
        except ValidationError as error:
            raise _input_error(error, rules) from None

    @field_validator("prompt", mode="after")
    @classmethod
    def _text(cls, prompt: str | None) -> str | None:
        if prompt is not None and (
            "\0" in prompt or any("\ud800" <= c <= "\udfff" for c in prompt)
        ):
            raise InputError("prompt", prompt, "holds characters that are no text: remove them")
        return prompt

    @model_validator(mode="after")
    def _within_rules(self, info: ValidationInfo) -> Self:
        rules = _rules(info)
        allowed = {
            "prompt": len(self.prompt or "") <= rules.max_prompt_chars,
            "duration": self.duration <= rules.max_duration_s,
            "classifier_free_guidance": not rules.has_whole_guidance
            or isinstance(self.classifier_free_guidance, int),
            "output_format": self.output_format in rules.output_formats,
        }
        for name, is_allowed in allowed.items():
            if not is_allowed:
                raise InputError(name, getattr(self, name), describe_rule(name, rules))
        return self

    @model_validator(mode="after")
    def _agree(self) -> Self:
        start, end = self.continuation_start, self.clip_end_s
        if self.input_audio is None:
            needs = "needs input_audio: give a recording, or leave this out"
            if self.continuation:
                raise InputError("continuation", True, needs)
            if start > 0:
                raise InputError("continuation_start", start, needs)
            if end is not None:
                raise InputError("continuation_end", end, needs)
            if not (self.prompt or "").strip():
                raise InputError("prompt", self.prompt, "say what to play, or give input_audio")
        if end is not None and start >= end:
            hint = f"must lie after continuation_start, which is {start}"
            raise InputError("continuation_end", end, hint)
        return self

    @model_validator(mode="after")
    def _readable(self) -> Self:
        if any(value is not None for value in (self.bpm, self.key, self.chords, self.form)):
            from fanfare.epic.control import read_control

            read_control(self.bpm, self.key, self.chords, self.form)
        return self

    @property
    def clip_end_s(self) -> int | None:
        """Where the used part of input_audio stops, in seconds; None: at its end."""
        return None if self.continuation_end == CLIP_END else self.continuation_end

    def record(self, seed: int) -> dict[str, Any]:
        """All fields as JSON values, with the seed that was used; input_audio by name only."""
        return {**self.model_dump(mode="json"), "seed": seed}


def _rules(info: ValidationInfo) -> Rules:
    """The rules that the caller of `Inputs.parse` named."""
    rules = info.context or OWN
    assert isinstance(rules, Rules)
    return rules


def _input_error(error: ValidationError, rules: Rules) -> InputError:
    """Pydantic's first complaint in this package's words."""
    first = error.errors(include_url=False)[0]
    field = str(first["loc"][0]) if first["loc"] else "inputs"
    if field not in Inputs.model_fields:
        near = get_close_matches(field, rules.fields or Inputs.model_fields, n=1)
        hint = f"did you mean {near[0]}?" if near else "no such input: leave it out"
        return InputError(field, first["input"], hint)
    return InputError(field, first["input"], describe_rule(field, rules))


def describe_rule(field: str, rules: Rules = OWN) -> str:
    """What a field accepts, in words, from its schema."""
    rule = Inputs.json_schema(rules)["properties"][field]
    if "enum" in rule:
        return f"must be one of {', '.join(rule['enum'])}"
    if rule["type"] == "boolean":
        return "must be true or false"
    if rule.get("format") == "uri":
        return "must be a path, a data: URI, or a file opened in binary mode"
    if rule["type"] == "string":
        return f"must be plain text of at most {rule['maxLength']} characters"
    noun = "a whole number" if rule["type"] == "integer" else "a number"
    if "maximum" in rule:
        return f"must be {noun} from {rule['minimum']} to {rule['maximum']}"
    return f"must be {noun}, {rule['minimum']} or more"
