"""Attributes → brief: what the prompt leaves open is drawn from the seed."""

from __future__ import annotations

import random

from fanfare.epic.attributes import MAX_INTENSITY, MOODS, PERCUSSION, Attributes, Form, Mode, Mood
from fanfare.epic.palette import CHARACTERS, VOICES, Character
from fanfare.epic.score import FRAME_RATE_HZ, Brief, Ensemble, Role

MIN_FRAMES_PER_BEAT, MAX_FRAMES_PER_BEAT = 18, 50
ROLES: tuple[Role, ...] = ("pad", "bass", "melody", "arp", "counter")
_FILLED_FROM: dict[Role, int] = {"pad": 0, "bass": 1, "melody": 1, "arp": 1, "counter": 9}
"""The intensity from which on a role is filled although no named instrument takes it."""


def settle(wanted: Attributes, rng: random.Random) -> Brief:
    """Makes `wanted` complete, drawing from `rng` what it leaves open."""
    mood: Mood = rng.choice(MOODS) if wanted.mood is None else wanted.mood
    character = CHARACTERS[mood]
    intensity = wanted.intensity
    if intensity is None:
        intensity = rng.choice(character.intensities)
        if not wanted.only and {"taiko", "snare", "cymbals"} & set(wanted.instruments):
            intensity = max(intensity, 2)
    bpm = wanted.bpm or rng.uniform(*character.bpm)
    drawn_mode: Mode = "minor" if rng.random() < character.minor else "major"
    meter = wanted.meter or (3 if rng.random() < 0.12 else 4)
    form: Form = rng.choice(character.forms) if wanted.form is None else wanted.form
    key = rng.randrange(12)
    return Brief(
        frames_per_beat=frames_per_beat(bpm),
        key=key if wanted.key is None else wanted.key,
        mode=wanted.mode or drawn_mode,
        mood=mood,
        intensity=min(intensity, MAX_INTENSITY),
        form=form,
        meter=meter,
        ensemble=assemble(wanted, character, intensity, rng),
        pulse=wanted.bpm is not None,
    )


def frames_per_beat(bpm: float) -> int:
    """The whole number of frames nearest to a beat at `bpm`, within what the model was taught."""
    return min(max(round(60 * FRAME_RATE_HZ / bpm), MIN_FRAMES_PER_BEAT), MAX_FRAMES_PER_BEAT)


def assemble(
    wanted: Attributes, character: Character, intensity: int, rng: random.Random
) -> Ensemble:
    """Who plays: named instruments first, in the roles that suit them; then the mood's own."""
    named = [i for i in wanted.instruments if i in VOICES and i not in wanted.without]
    cast: dict[Role, list[str]] = {role: [] for role in ROLES}
    for name in named:
        _give_role(name, cast, alone=wanted.only)
    if not wanted.only:
        _fill(cast, character, intensity, wanted, rng)
    elif len(named) == 1:
        cast = _soloist(named[0], intensity, rng)
    return Ensemble(
        **{role: tuple(names) for role, names in cast.items()},
        drums=_drums(wanted, character, intensity, rng),
    )


def _give_role(name: str, cast: dict[Role, list[str]], *, alone: bool) -> None:
    """Puts a named instrument into its best role that is still empty (else the best one)."""
    roles = VOICES[name].roles
    free = [role for role in roles if not cast[role]]
    cast[(free or list(roles))[0]].append(name)
    if alone and name in ("strings", "brass", "organ"):  # a section alone plays all its roles
        for role in roles:
            if name not in cast[role]:
                cast[role].append(name)


def _fill(
    cast: dict[Role, list[str]],
    character: Character,
    intensity: int,
    wanted: Attributes,
    rng: random.Random,
) -> None:
    """Fills empty roles from the mood's palette, more of them the louder the piece is.

    Whoever asks for a tempo gets figures that beat it, be the piece ever so quiet.
    """
    without = wanted.without
    named = {name for names in cast.values() for name in names}
    options = {
        "pad": character.pad, "bass": character.bass,
        "melody": character.melody, "arp": character.arp, "counter": (),
    }  # fmt: skip
    for role in ROLES:
        beats = role == "arp" and wanted.bpm is not None
        few = intensity < _FILLED_FROM[role] and (bool(named) or role == "bass")
        if cast[role] or (few and not beats):
            continue
        if intensity <= 1 and role in ("melody", "arp") and rng.random() < 0.3 and not beats:
            continue
        pool = [i for i in options[role] if i not in without]
        if pool:
            cast[role].append(rng.choice(pool))
    if intensity == MAX_INTENSITY:
        pool = [i for i in character.pad if i not in without and i not in cast["pad"]]
        if pool and len(cast["pad"]) < 2:
            cast["pad"].append(rng.choice(pool))
    if not any(cast.values()) and "strings" not in without:
        cast["pad"].append("strings")


def _soloist(name: str, intensity: int, rng: random.Random) -> dict[Role, list[str]]:
    """One instrument alone takes all the roles that it can play at once."""
    roles = VOICES[name].roles
    cast: dict[Role, list[str]] = {role: [] for role in ROLES}
    polyphonic = name in (
        "piano",
        "harp",
        "guitar",
        "organ",
        "strings",
        "brass",
        "choir",
        "tremolo",
    )
    for role in roles if polyphonic else roles[:1]:
        cast[role].append(name)
    if polyphonic and intensity == 0 and "bass" in roles and rng.random() < 0.5:
        cast["bass"].clear()
    return cast


def _drums(
    wanted: Attributes, character: Character, intensity: int, rng: random.Random
) -> tuple[str, ...]:
    named = [i for i in wanted.instruments if i in PERCUSSION]
    kit: list[str] = []
    for name in named:
        kit += ["taiko_low", "taiko_high"] if name == "taiko" else [name]
    playing = rng.random() < character.drums
    if not wanted.only and playing and intensity >= 1 and "taiko" not in wanted.without:
        if intensity >= 2:
            kit += ["taiko_low", "taiko_high"]
        kit += ["timpani"] if rng.random() < 0.6 else []
        kit += ["snare"] if intensity >= 2 and rng.random() < 0.25 else []
        kit += ["cymbals", "boom"] if intensity >= 2 else []
    barred = {stroke for name in wanted.without for stroke in _strokes(name)}
    return tuple(s for s in dict.fromkeys(kit) if s not in barred)


def _strokes(name: str) -> tuple[str, ...]:
    return ("taiko_low", "taiko_high", "boom") if name == "taiko" else (name,)
