"""Prompts to begin with: everything in them is something that the built-in model understands."""

from __future__ import annotations

IDEAS = (
    "Heroic brass fanfare over pounding taiko, 120 bpm, D minor",
    "A lonely cello over soft strings, sad and slow, A minor",
    "Dark choir and low brass, ominous, building to a climax, 90 bpm",
    "Sailing into adventure: galloping strings, horns and timpani in 6/8, 150 bpm",
    "Calm piano and harp at dawn, very quiet, 70 bpm, F major",
    "Tense tremolo strings and a ticking snare, 140 bpm, E minor",
    "Mysterious celesta and pizzicato strings, gentle, G minor",
    "A hopeful sunrise: flute and strings, slowly rising, C major",
    "Romantic violin with warm strings, 80 bpm, E flat major",
    "Battle music: thundering taiko, full brass and choir, 132 bpm, C minor",
    "Sad solo piano, quiet and slow, B minor",
    "Triumphant trumpets and cymbals, full orchestra, 126 bpm, B flat major",
    "Spooky organ and bells in an abandoned castle, slow, F sharp minor",
    "A pirate adventure in 6/8 with trumpet, snare and strings, D major",
    "Trailer music: silence, then massive hits of brass and taiko, 100 bpm",
    "A calm pad with distant choir, floating, no drums",
    "A waltz in 3/4 for oboe, clarinet and strings, romantic, 96 bpm",
    "Heroic horn theme that builds from nothing to full orchestra, G minor",
    "Chase through the night: pizzicato, snare and low brass, tense, 160 bpm",
    "A sad farewell that fades away: oboe, harp and strings, 66 bpm",
    "Noble horns and strings, majestic, 84 bpm, E flat major",
    "Mysterious flute over a dark pad, slow, D minor, no drums",
    "Adventurous guitar and strings under a wide sky, 112 bpm, G major",
    "The last stand: choir, brass and timpani, heroic and dark, 108 bpm, C sharp minor",
)
