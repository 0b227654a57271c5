"""Which number of a plan says what: weights are trained on one layout and say which it is.

What a layout has no place for is told by the nearest thing that it has: a tuba by a trombone, a
braam by low brass; or it is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fanfare.epic.attributes import EFFECTS, PITCHED
from fanfare.epic.score import DRUMS

_NEAREST_VOICE = {
    "viola": "violin", "tuba": "trombone", "english_horn": "oboe", "bassoon": "clarinet",
    "piccolo": "flute", "marimba": "pizzicato", "voices": "choir", "synth_bass": "contrabass",
}  # fmt: skip
_NEAREST_STROKE = {
    "taiko_ensemble": "taiko_low", "toms": "taiko_high", "tam_tam": "cymbals", "impact": "boom",
    "sub_drop": "boom",
}  # fmt: skip


@dataclass(frozen=True)
class Layout:
    """The groups of a plan's features, in order.

    Attributes:
        groups: name → number of features.
        pitched, strokes, effects: who has a feature in "instruments", "drums", "effects".
        masked: what may be left out, each with a bit in "mask". "frames" keeps the instruments, but
            only as a mean over the piece.
        onsets: the roles in "onsets".
    """

    groups: Mapping[str, int]
    pitched: tuple[str, ...]
    strokes: tuple[str, ...]
    effects: tuple[str, ...]
    masked: tuple[str, ...]
    onsets: tuple[str, ...]

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Where each group stands."""
        made, start = {}, 0
        for name, size in self.groups.items():
            made[name] = slice(start, start + size)
            start += size
        return made

    @cached_property
    def n_features(self) -> int:
        """F."""
        return sum(self.groups.values())

    def voice(self, name: str) -> int | None:
        """Index of a pitched instrument, or of the nearest; None if there is none."""
        return _index(self.pitched, name, _NEAREST_VOICE)

    def stroke(self, name: str) -> int | None:
        """Index of a stroke (or of an effect that sounds like one), or of the nearest."""
        return _index(self.strokes, name, _NEAREST_STROKE)

    def to_json(self) -> dict[str, Any]:
        """As it is kept beside the weights."""
        lists = ("pitched", "strokes", "effects", "masked", "onsets")
        return {"groups": dict(self.groups), **{name: list(getattr(self, name)) for name in lists}}

    @staticmethod
    def from_json(kept: Mapping[str, Any] | None) -> Layout:
        """The layout that weights name; the first one if they name none.

        Raises:
            ValueError: it isn't a layout, or not one that plans can be written in.
        """
        if kept is None:
            return LAYOUT_1
        lists = ("pitched", "strokes", "effects", "masked", "onsets")
        try:
            groups = {str(name): int(size) for name, size in kept["groups"].items()}
            layout = Layout(groups, **{name: tuple(map(str, kept[name])) for name in lists})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"the weights' plan isn't readable: {error!r}") from error
        layout.check()
        return layout

    def check(self) -> None:
        """Raises ValueError unless every group is known and as large as its contents."""
        sizes = {
            "instruments": len(self.pitched), "drums": len(self.strokes),
            "effects": 2 * len(self.effects), "onsets": len(self.onsets), "mask": len(self.masked),
        }  # fmt: skip
        for name, size in self.groups.items():
            allowed = (sizes[name],) if name in sizes else _SIZES.get(name, ())
            if size not in allowed:
                raise ValueError(f"the weights' plan has {size} features for {name!r}")
        missing = set(LAYOUT_1.groups) - set(self.groups)
        if missing:
            raise ValueError(f"the weights' plan has no {', '.join(sorted(missing))}")


def _index(known: tuple[str, ...], name: str, nearest: Mapping[str, str]) -> int | None:
    if name not in known:
        name = nearest.get(name, name)
    return known.index(name) if name in known else None


_SIZES = {
    "time": (9, 12), "tempo": (1,), "metre": (3,), "scale": (12,), "chord": (12,), "bass": (12,),
    "melody": (14,), "counter": (14,), "arp": (14,), "level": (5,), "loud": (1,),
}  # fmt: skip

LAYOUT_1 = Layout(
    groups={
        "time": 9, "tempo": 1, "chord": 12, "bass": 12, "melody": 14, "arp": 14, "level": 5,
        "instruments": 22, "drums": 6, "onsets": 4, "mask": 7,
    },
    pitched=PITCHED[:22],
    strokes=DRUMS[:6],
    effects=(),
    masked=("bass", "melody", "arp", "drums", "onsets", "instruments", "frames"),
    onsets=("pad", "bass", "melody", "arp"),
)  # fmt: skip
"""Of the first weights."""

LAYOUT_2 = Layout(
    groups={
        "time": 12, "tempo": 1, "metre": 3, "scale": 12, "chord": 12, "bass": 12, "melody": 14,
        "counter": 14, "arp": 14, "level": 5, "loud": 1, "instruments": len(PITCHED),
        "drums": len(DRUMS), "effects": 2 * len(EFFECTS), "onsets": 5, "mask": 11,
    },
    pitched=PITCHED,
    strokes=DRUMS,
    effects=EFFECTS,
    masked=(
        "bass", "melody", "counter", "arp", "drums", "effects", "onsets", "instruments", "frames",
        "loud", "scale",
    ),
    onsets=("pad", "bass", "melody", "arp", "counter"),
)  # fmt: skip
"""With key, metre, counter-melody, effects and expression."""
