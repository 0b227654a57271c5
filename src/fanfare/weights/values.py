"""Values of configurations, read by kind.

Files say what they like: text where a number belongs, a billion layers. What is read here is of its
kind and of a size that a model can have, or it is refused by its name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from fanfare.errors import CheckpointError, shorten

MISSING: Any = object()
Word = TypeVar("Word", bound=str)


class Values:
    """Part of a configuration; errors name the file and the whole path of a key."""

    def __init__(self, values: object, what: str, path: str = "") -> None:
        """Wrap `values`, a mapping.

        Args:
            what: names the file.
            path: of this part within the whole, with a full stop at its end.
        """
        if not isinstance(values, Mapping):
            place = path.removesuffix(".") or "it"
            raise CheckpointError(f"{what}: {place} is {shorten(values)}, not a configuration")
        self.values = values
        self.what = what
        self.path = path

    def get(self, key: str, default: Any = MISSING) -> Any:
        """Any value; what is absent has its default, or is an error without one."""
        value = self.values.get(key, default)
        if value is MISSING:
            raise CheckpointError(f"{self.what}: {self.path}{key} is missing")
        return value

    def part(self, key: str, *, or_empty: bool = False) -> Values:
        """A mapping within this one; `or_empty`: if it is absent or null, an empty one."""
        value = self.get(key, {} if or_empty else MISSING)
        if or_empty and value is None:
            value = {}
        return Values(value, self.what, f"{self.path}{key}.")

    def whole(self, key: str, default: Any = MISSING, *, low: int = 1, high: int = 2**20) -> int:
        """A whole number from `low` to `high`."""
        value = self.get(key, default)
        if type(value) is not int or not low <= value <= high:
            raise self.refused(key, f"must be a whole number from {low} to {high}")
        return value

    def wholes(
        self, key: str, *, low: int = 1, high: int = 2**20, most: int = 64
    ) -> tuple[int, ...]:
        """A list of up to `most` whole numbers."""
        value = self.get(key)
        if not isinstance(value, list | tuple) or not 1 <= len(value) <= most:
            raise self.refused(key, f"must be a list of 1 to {most} whole numbers")
        if any(type(number) is not int or not low <= number <= high for number in value):
            raise self.refused(key, f"must be a list of whole numbers from {low} to {high}")
        return tuple(value)

    def number(self, key: str, default: Any = MISSING, *, low: float, high: float) -> float:
        """A finite number from `low` to `high`."""
        value = self.get(key, default)
        if type(value) not in (int, float) or not low <= value <= high or not math.isfinite(value):
            raise self.refused(key, f"must be a number from {low:g} to {high:g}")
        return float(value)

    def flag(self, key: str, default: Any = MISSING) -> bool:
        """True or False."""
        value = self.get(key, default)
        if not isinstance(value, bool):
            raise self.refused(key, "must be true or false")
        return value

    def choice(self, key: str, options: Sequence[Word], default: Any = MISSING) -> Word:
        """One of some words."""
        value = self.get(key, default)
        if not isinstance(value, str) or value not in options:
            raise self.refused(key, f"must be {' or '.join(options)}")
        return options[options.index(value)]

    def require(self, required: Mapping[str, object]) -> None:
        """Refuse a key with another value than the one given here; absent ones are right."""
        for key, value in required.items():
            found = self.values.get(key, value)
            if found != value:
                raise self.refused(key, f"isn't supported; it must be {value!r}")

    def refused(self, key: str, complaint: str) -> CheckpointError:
        """The error for a key's value."""
        value = shorten(self.values.get(key))
        return CheckpointError(f"{self.what}: {self.path}{key} = {value} {complaint}")
