"""A prediction's inputs as they came → checked values, or a 422 that names every wrong one.

Lenient where clients are sloppy (explicit nulls, numbers written as text, names that are no inputs
and must not even be stored), strict in everything else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from fanfare.errors import InputError
from fanfare.inputs import Inputs
from fanfare.rules import Rules
from fanfare.server.problems import InvalidField, InvalidInputError

_ALONE = {"prompt": "x", "input_audio": "x"}
"""What must stand beside any one input for its own rule, and no other, to decide."""
_NUMBER = re.compile(r"\s*[+-]?[0-9]{1,18}(\.[0-9]{0,18})?\s*")
_SCHEMES = ("http://", "https://", "data:")


def check_inputs(values: Mapping[str, object], rules: Rules) -> dict[str, Any]:
    """The inputs that were given, coerced and checked, in their order.

    Raises InvalidInputError. `input_audio` is a URL or a data: URI then; whether it leads anywhere
    isn't checked here.
    """
    described = _described(rules)
    given = {
        name: _coerced(values[name], about["type"])
        for name, about in described.items()
        if values.get(name) is not None
    }
    wrong = [
        field
        for name, value in given.items()
        if (field := _broken(name, value, described[name], rules))
    ]
    if not wrong:
        try:
            Inputs.parse(given, rules=rules)
        except InputError as error:
            wrong = [_together(error, given)]
    if wrong:
        raise InvalidInputError(wrong)
    return given


@lru_cache(maxsize=4)
def _described(rules: Rules) -> dict[str, dict[str, Any]]:
    """What each input accepts."""
    properties: dict[str, dict[str, Any]] = Inputs.json_schema(rules)["properties"]
    return properties


def _coerced(value: object, kind: str) -> object:
    """Text that can only mean a number or a truth value as that."""
    if not isinstance(value, str):
        return value
    if kind in {"integer", "number"} and _NUMBER.fullmatch(value):
        return float(value) if "." in value else int(value)
    if kind == "boolean" and value.strip().lower() in {"true", "false"}:
        return value.strip().lower() == "true"
    return value


def _broken(
    name: str, value: object, about: Mapping[str, Any], rules: Rules
) -> InvalidField | None:
    """The rule of its own that a value breaks, worded as JSON schema validators do."""
    field = f"input.{name}"
    if about.get("format") == "uri":
        if isinstance(value, str) and value.strip()[:8].lower().startswith(_SCHEMES):
            return None
        return InvalidField("format", field, "Does not match format 'uri'")
    if isinstance(value, str) and len(value) > about.get("maxLength", len(value)):
        limit = about["maxLength"]
        text = f"String length must be less than or equal to {limit}"
        return InvalidField("string_lte", field, text)
    try:
        Inputs.parse({**_ALONE, name: value}, rules=rules)
    except InputError as error:
        if error.field == name:
            return _worded(field, value, about, error.hint)
    return None


def _worded(field: str, value: object, about: Mapping[str, Any], hint: str) -> InvalidField:
    if "enum" in about and isinstance(value, str):
        listed = ", ".join(json.dumps(choice) for choice in about["enum"])
        return InvalidField("enum", field, f"{field} must be one of the following: {listed}")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and about["type"] in {"integer", "number"}:
        if "maximum" in about and value > about["maximum"]:
            text = f"Must be less than or equal to {about['maximum']}"
            return InvalidField("number_lte", field, text)
        if "minimum" in about and value < about["minimum"]:
            text = f"Must be greater than or equal to {about['minimum']}"
            return InvalidField("number_gte", field, text)
    given = _json_type(value)
    if given == about["type"]:
        return InvalidField("invalid", field, hint)
    return InvalidField("invalid_type", field, f"Expected: {about['type']}, given: {given}")


def _json_type(value: object) -> str:
    """What JSON calls a value's type."""
    for kind, name in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string")):
        if isinstance(value, kind):
            return name
    return "array" if isinstance(value, list) else "object"


def _together(error: InputError, given: Mapping[str, object]) -> InvalidField:
    """Inputs that are right each for itself, but not beside one another."""
    if error.field not in given:
        return InvalidField("required", "input", f"{error.field} is required: {error.hint}")
    return InvalidField("invalid", f"input.{error.field}", error.hint)
