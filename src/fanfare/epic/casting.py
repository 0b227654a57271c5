"""Casting: who plays what. Named instruments first, in the roles that suit them."""

from __future__ import annotations

import random

from fanfare.epic.attributes import EFFECTS, MAX_INTENSITY, PERCUSSION, Attributes, Mood, Texture
from fanfare.epic.palette import CHARACTERS, COUNTERS, VOICES, Character
from fanfare.epic.score import Ensemble, Role

ROLES: tuple[Role, ...] = ("pad", "bass", "melody", "arp", "counter")
_FILLED_FROM: dict[Role, int] = {"pad": 0, "bass": 1, "melody": 1, "arp": 1, "counter": 2}
"""The intensity from which on a role is filled although no named instrument takes it."""
POLYPHONIC = (
    "piano", "harp", "guitar", "organ", "strings", "brass", "choir", "tremolo", "marimba",
)  # fmt: skip
SECTIONS = ("strings", "brass", "organ")
DOUBLINGS: dict[str, tuple[str, ...]] = {
    "violin": ("flute", "oboe"), "horn": ("trombone", "trumpet", "strings"),
    "trumpet": ("horn", "brass"), "brass": ("horn", "strings"), "flute": ("violin", "piccolo"),
    "oboe": ("violin", "clarinet"), "clarinet": ("viola", "oboe"), "cello": ("horn", "bassoon"),
    "trombone": ("tuba", "horn"), "choir": ("strings", "horn"), "piano": ("violin", "celesta"),
}  # fmt: skip
"""Who may join a melody at full force."""


def assemble(
    wanted: Attributes, mood: Mood, intensity: int, texture: Texture, rng: random.Random
) -> Ensemble:
    """Everyone who plays in a piece of that mood and force."""
    character = CHARACTERS[mood]
    named = [i for i in wanted.instruments if i in VOICES and i not in wanted.without]
    alone = wanted.only or (texture == "solo" and bool(named))
    if texture == "solo" and not named and not wanted.instruments:
        pool = [i for i in (*character.arp, *character.melody) if i not in wanted.without]
        named, alone = [rng.choice(pool or ["strings"])], True
    cast: dict[Role, list[str]] = {role: [] for role in ROLES}
    for name in named:
        _give_role(name, cast, alone=alone)
    if alone and len(named) == 1:
        cast = _soloist(named[0], intensity, rng)
    elif not alone:
        _fill(cast, character, intensity, wanted, texture, rng)
        if texture == "full":
            _double(cast, character, mood, intensity, wanted, rng)
    return Ensemble(
        **{role: tuple(names) for role, names in cast.items()},
        drums=_drums(wanted, character, intensity, texture, alone=alone, rng=rng),
        effects=_effects(wanted, mood, intensity, texture, alone=alone, rng=rng),
    )


def _give_role(name: str, cast: dict[Role, list[str]], *, alone: bool) -> None:
    """Puts a named instrument into its best role that is still empty (else the best one)."""
    roles = VOICES[name].roles
    free = [role for role in roles if not cast[role]]
    cast[(free or list(roles))[0]].append(name)
    if alone and name in SECTIONS:  # a section alone plays all its roles
        for role in roles:
            if name not in cast[role]:
                cast[role].append(name)


def _fill(
    cast: dict[Role, list[str]],
    character: Character,
    intensity: int,
    wanted: Attributes,
    texture: Texture,
    rng: random.Random,
) -> None:
    """Fills empty roles from the mood's palette, more of them the louder the piece is.

    Whoever asks for a tempo gets figures that beat it, be the piece ever so quiet.
    """
    named = {name for names in cast.values() for name in names}
    options = {
        "pad": character.pad, "bass": character.bass, "melody": character.melody,
        "arp": character.arp, "counter": COUNTERS,
    }  # fmt: skip
    for role in ROLES:
        beats = role == "arp" and wanted.bpm is not None
        few = intensity < _FILLED_FROM[role] and (bool(named) or role in ("bass", "counter"))
        if cast[role] or (few and not beats):
            continue
        if intensity <= 1 and role in ("melody", "arp") and rng.random() < 0.3 and not beats:
            continue
        if role == "counter" and (rng.random() < 0.45 or not cast["melody"]):
            continue
        if texture == "chamber" and role in ("pad", "bass") and rng.random() < 0.4:
            continue
        pool = [i for i in options[role] if i not in wanted.without and i not in cast["melody"]]
        if pool:
            cast[role].append(rng.choice(pool))
    if not cast["pad"] and not cast["arp"]:  # somebody has to say what the chords are
        pool = [i for i in character.pad if i not in wanted.without]
        cast["pad"] += [rng.choice(pool)] if pool else []
    if not any(cast.values()) and "strings" not in wanted.without:
        cast["pad"].append("strings")


def _double(
    cast: dict[Role, list[str]],
    character: Character,
    mood: Mood,
    intensity: int,
    wanted: Attributes,
    rng: random.Random,
) -> None:
    """At full force another section joins the chords, and someone the melody and the bass."""
    if intensity == MAX_INTENSITY:
        pool = [i for i in character.pad if i not in wanted.without and i not in cast["pad"]]
        if pool and len(cast["pad"]) < 2:
            cast["pad"].append(rng.choice(pool))
    if intensity < 2:
        return
    lead = cast["melody"][0] if cast["melody"] else ""
    pool = [i for i in DOUBLINGS.get(lead, ()) if i not in wanted.without]
    if pool and len(cast["melody"]) < 2 and rng.random() < (0.5 if intensity == 2 else 0.7):
        cast["melody"].append(rng.choice(pool))
    low = [i for i in ("tuba", "synth_bass") if i not in wanted.without]
    deep = mood in ("heroic", "dark", "tense") and intensity == MAX_INTENSITY
    if deep and low and len(cast["bass"]) < 2 and rng.random() < 0.35:
        cast["bass"].append(rng.choice(low))


def _soloist(name: str, intensity: int, rng: random.Random) -> dict[Role, list[str]]:
    """One instrument alone takes all the roles that it can play at once."""
    roles = VOICES[name].roles
    cast: dict[Role, list[str]] = {role: [] for role in ROLES}
    for role in roles if name in POLYPHONIC else roles[:1]:
        cast[role].append(name)
    if name in POLYPHONIC and intensity == 0 and "bass" in roles and rng.random() < 0.5:
        cast["bass"].clear()
    return cast


def _drums(
    wanted: Attributes,
    character: Character,
    intensity: int,
    texture: Texture,
    *,
    alone: bool,
    rng: random.Random,
) -> tuple[str, ...]:
    named = [i for i in wanted.instruments if i in PERCUSSION]
    kit: list[str] = []
    for name in named:
        kit += ["taiko_low", "taiko_high"] if name == "taiko" else [name]
        if name == "taiko" and intensity >= 2:
            kit.append("taiko_ensemble")
    playing = rng.random() < character.drums and texture == "full"
    if not alone and playing and intensity >= 1 and "taiko" not in wanted.without:
        if intensity >= 2:
            kit += ["taiko_low", "taiko_high"]
        kit += ["timpani"] if rng.random() < 0.6 else []
        kit += ["snare"] if intensity >= 2 and rng.random() < 0.25 else []
        kit += ["cymbals", "boom"] if intensity >= 2 else []
        kit += _larger_kit(intensity, rng)
    barred = {stroke for name in wanted.without for stroke in _strokes(name)}
    return tuple(s for s in dict.fromkeys(kit) if s not in barred)


def _larger_kit(intensity: int, rng: random.Random) -> list[str]:
    """More strokes, the louder the more; drawn singly so that kits differ."""
    if intensity < 2:
        return ["cymbal_swell"] if rng.random() < 0.3 else []
    chances = {
        "taiko_ensemble": 0.2 if intensity == 2 else 0.6, "taiko_rim": 0.25, "toms": 0.3,
        "tam_tam": 0.25, "cymbal_swell": 0.5, "shaker": 0.12, "anvil": 0.12,
    }  # fmt: skip
    return [stroke for stroke, chance in chances.items() if rng.random() < chance]


def _strokes(name: str) -> tuple[str, ...]:
    if name == "taiko":
        return ("taiko_low", "taiko_high", "taiko_ensemble", "taiko_rim", "boom")
    return ("cymbals", "cymbal_swell") if name == "cymbals" else (name,)


def _effects(
    wanted: Attributes,
    mood: Mood,
    intensity: int,
    texture: Texture,
    *,
    alone: bool,
    rng: random.Random,
) -> tuple[str, ...]:
    """Those named; else, where a trailer might have them, some."""
    kit = [name for name in wanted.instruments if name in EFFECTS]
    loud = intensity >= 2 and texture == "full" and not alone
    if loud and mood in ("heroic", "dark", "tense", "adventurous", "hopeful"):
        lean = 0.6 if intensity == MAX_INTENSITY else 0.3
        if rng.random() < lean and "taiko" not in wanted.without:
            chances = {"riser": 0.6, "impact": 0.7, "sub_drop": 0.4, "whoosh": 0.4, "reverse": 0.4}
            kit += [name for name, chance in chances.items() if rng.random() < chance]
            if mood in ("dark", "tense") and rng.random() < 0.5:
                kit.append("braam")
    return tuple(name for name in dict.fromkeys(kit) if name not in wanted.without)
