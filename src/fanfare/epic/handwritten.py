"""Prompts written by hand, in other words than the grammar's, and what each must come to."""

from __future__ import annotations

from typing import Any

HANDWRITTEN: tuple[tuple[str, dict[str, Any]], ...] = (
    ("an army marches at dawn, snare and horns", {"instruments": ("snare", "horn")}),
    ("lullaby on a celesta, nothing else", {"instruments": ("celesta",), "only": True}),
    ("hans zimmer style braams and huge drums", {"intensity": 3}),
    ("someone cries alone by a piano", {"mood": "sad", "instruments": ("piano",)}),
    ("the hero returns home, brass blazing", {"mood": "heroic", "instruments": ("brass",)}),
    ("creeping through a haunted crypt, low strings", {"instruments": ("strings",)}),
    ("140 bpm chase over rooftops", {"bpm": 140}),
    ("a waltz for two, tender violins", {"meter": 3, "instruments": ("violin",)}),
    ("end credits in C major, everybody plays", {"key": 0, "mode": "major"}),
    ("space opera overture", {}),
    ("monks chanting far away, almost silent", {"intensity": 0}),
    ("just a harp, dreaming", {"instruments": ("harp",), "only": True}),
    ("trailer that explodes at the end", {"form": "build"}),
    ("funeral procession, slow, in D minor", {"key": 2, "mode": "minor"}),
    ("pirates! fast and swashbuckling", {"mood": "adventurous"}),
    ("rain on a window, cello", {"instruments": ("cello",)}),
    ("orchestra with no percussion at all, romantic", {"mood": "romantic"}),
    ("a music box winding down", {"form": "fade"}),
    ("dragons over the mountains, choir and taiko", {"instruments": ("choir", "taiko")}),
    ("tick tock, the bomb is running out, 120 beats per minute", {"bpm": 120}),
    ("sunrise after the battle, hope comes back", {"mood": "hopeful"}),
    ("church at midnight, organ in E flat minor", {"key": 3, "mode": "minor"}),
    ("a jig in six eight for flute", {"meter": 6, "instruments": ("flute",)}),
    ("lost in fog, strange and magical", {"mood": "mysterious"}),
    ("quiet guitar by the fire", {"intensity": 1, "instruments": ("guitar",)}),
    ("nothing but trombones, menacing", {"mood": "dark", "instruments": ("trombone",)}),
    ("meditation, 60 bpm, soft pad", {"bpm": 60, "instruments": ("pad",)}),
    ("our team wins the cup, trumpets", {"instruments": ("trumpet",)}),
    ("two people part at a station, oboe and strings", {"instruments": ("oboe", "strings")}),
    ("villain's theme with growling contrabass", {"instruments": ("contrabass",)}),
    ("heist music, pizzicato, sneaky, 105 bpm", {"bpm": 105, "instruments": ("pizzicato",)}),
    ("a storm rises until it breaks", {"form": "build"}),
    ("wedding in the garden, bells", {"instruments": ("bells",)}),
    ("winter landscape with clarinet", {"instruments": ("clarinet",)}),
    ("war machines, relentless, 150 bpm", {"bpm": 150}),
    ("ein trauriges Stück für Klavier", {"mood": "sad", "instruments": ("piano",)}),
    ("musique calme à la harpe", {"mood": "calm", "instruments": ("harp",)}),
    ("música épica con tambores y coro", {"instruments": ("choir",)}),
    ("curtain falls: fading strings in F major", {"key": 5, "mode": "major", "form": "fade"}),
    ("short fanfare, 100 bpm, B flat major", {"bpm": 100, "key": 10, "mode": "major"}),
)
"""What isn't said of a prompt isn't judged."""
