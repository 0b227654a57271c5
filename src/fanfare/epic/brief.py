"""Attributes → brief: what the prompt leaves open is drawn from the seed."""

from __future__ import annotations

import random

from fanfare.epic.attributes import MAX_INTENSITY, MOODS, Attributes, Form, Mode, Mood, Texture
from fanfare.epic.casting import assemble
from fanfare.epic.harmony import draw_scale
from fanfare.epic.palette import CHARACTERS
from fanfare.epic.score import FRAME_RATE_HZ, Brief

MIN_FRAMES_PER_BEAT, MAX_FRAMES_PER_BEAT = 18, 50
COMPOUND_MAX_BPM = 112.0
"""Faster beats than this aren't divided into three: who asks for 6/8 counts something else."""
_LIFTED: tuple[Mood, ...] = ("heroic", "hopeful", "adventurous", "romantic")


def settle(wanted: Attributes, rng: random.Random) -> Brief:
    """Makes `wanted` complete, drawing from `rng` what it leaves open."""
    mood: Mood = rng.choice(MOODS) if wanted.mood is None else wanted.mood
    character = CHARACTERS[mood]
    intensity = wanted.intensity
    if intensity is None:
        intensity = rng.choice(character.intensities)
        if not wanted.only and {"taiko", "snare", "cymbals"} & set(wanted.instruments):
            intensity = max(intensity, 2)
        if wanted.texture == "full":
            intensity = max(intensity, 2)
    intensity = min(intensity, MAX_INTENSITY)
    bpm = wanted.bpm or rng.uniform(*character.bpm)
    drawn_mode: Mode = "minor" if rng.random() < character.minor else "major"
    mode = wanted.mode or drawn_mode
    meter = wanted.meter or _draw_meter(wanted, bpm, rng)
    form: Form = rng.choice(character.forms) if wanted.form is None else wanted.form
    key = rng.randrange(12)
    texture = wanted.texture or _draw_texture(wanted, intensity, rng)
    lifts = wanted.key is None and mood in _LIFTED and rng.random() < 0.3
    return Brief(
        frames_per_beat=frames_per_beat(_beat(bpm, meter)),
        key=key if wanted.key is None else wanted.key,
        mode=mode,
        mood=mood,
        intensity=intensity,
        form=form,
        meter=meter,
        ensemble=assemble(wanted, mood, intensity, texture, rng),
        pulse=wanted.bpm is not None,
        scale=wanted.scale or draw_scale(mode, mood, rng),
        texture=texture,
        lift=rng.choice((1, 2, 2, 3)) if lifts else 0,
    )


def frames_per_beat(bpm: float) -> int:
    """The whole number of frames nearest to a beat at `bpm`, within what the model was taught."""
    return min(max(round(60 * FRAME_RATE_HZ / bpm), MIN_FRAMES_PER_BEAT), MAX_FRAMES_PER_BEAT)


def _beat(bpm: float, meter: int) -> float:
    """Beats a minute that are felt: quick ones of 6/8 are taken to be quarters."""
    return bpm * 2 / 3 if meter == 6 and bpm > COMPOUND_MAX_BPM else bpm


def _draw_meter(wanted: Attributes, bpm: float, rng: random.Random) -> int:
    drawn = rng.random()
    if drawn < 0.12:
        return 3
    return 6 if drawn < 0.18 and wanted.bpm is None and bpm <= COMPOUND_MAX_BPM else 4


def _draw_texture(wanted: Attributes, intensity: int, rng: random.Random) -> Texture:
    """A few or all; whoever names instruments alone has said who plays."""
    if wanted.only:
        return "solo" if len(wanted.instruments) == 1 else "chamber"
    return "chamber" if intensity <= 1 and rng.random() < 0.35 else "full"
