"""What the composer makes music of: progressions, figures, rhythms and strokes; tables, no logic.

Chords are Roman numerals over the major scale's degrees: "bVI" is the major chord on the lowered
sixth, "iv" the minor one on the fourth, "iio" diminished; a suffix says more ("V7", "Isus4"), and
"/5" puts the scale's fifth degree into the bass.
"""

from __future__ import annotations

from fanfare.epic.attributes import Mood, Scale

ANY: Mood = "heroic"
"""Whose progressions serve moods that have none of their own in a scale."""

PROGRESSIONS: dict[Scale, dict[Mood, tuple[str, ...]]] = {
    "aeolian": {
        "heroic": (
            "i bVI bIII bVII", "i bVII bVI bVII", "i bVI bVII i", "i bIII bVII bVI",
            "i bVI iv bVII", "i bVII bIII bVI", "i i bVI bVII",
        ),
        "adventurous": (
            "i bVII bVI bVII", "i bIII bVII iv", "i bVI bIII bVII", "i v bVI bVII",
        ),
        "dark": (
            "i i bVI v", "i bvi i v", "i iii i bVI", "i i bvi bII", "i bVI i bII", "i iv i bvi",
        ),
        "tense": (
            "i i bII bII", "i i bVI bII", "i bII i v", "i i iv bVI", "i bvi bVI v",
        ),
        "sad": (
            "i v/b7 iv/b6 bVI", "i bVI bIII bVII", "i iv bVII bIII", "i bVI iv v", "i v bVI iv",
            "i i/b7 bVI iv", "i bIII/b7 bVI iv",
        ),
        "hopeful": ("i bVI bIII bVII", "i bIII bVI bVII", "i iv bVI bVII", "i bVII/2 bIII bVI"),
        "mysterious": ("i bvi i bvi", "i bVI i bVI", "i i/b7 bVI bvi", "i iv i bVI", "i bVI bII i"),
        "calm": ("i bVII bVI bVII", "i bVI bIII bVII", "i iv i bVII", "i bIII/b7 bVI iv"),
        "romantic": ("i iv bVII bIII", "i bVI bIII bVII", "i v/b7 bVI iv", "i bVII/2 bIII iv"),
    },
    "harmonic": {
        "heroic": ("i bVI iv V", "i iv V i", "i V bVI V", "i bVII bVI V", "i bIII iv V"),
        "dark": ("i bVI i V", "i iio i V", "i iv iio V", "i bvi i V", "i bII V i"),
        "tense": ("i i V V", "i bII V i", "i iv V V", "i viio i V"),
        "sad": ("i V iv V", "i iv V i", "i bVI iv V", "i v/b7 iv/b6 V", "i iv/b6 V bVI"),
        "romantic": ("i iv V i", "i iv bVII bIII", "i bVI iio V", "i V/7 i/b3 iv"),
        "mysterious": ("i V i bVI", "i iv i V", "i bVI V i", "i i bII V"),
    },
    "dorian": {
        "heroic": ("i IV bVII i", "i bIII IV i", "i bVII IV i", "i IV i bVII"),
        "mysterious": ("i IV i IV", "i ii bIII IV", "i ii i bVII"),
        "calm": ("i IV i bVII", "i ii bIII ii", "i IV bVII IV"),
    },
    "phrygian": {
        "heroic": ("i bII i bvii", "i bII bIII bII", "i bvii bVI bII", "i bII bvii i"),
        "dark": ("i bII i bII", "i i bII bvii", "i bVI bII i"),
        "tense": ("i bII i bII", "i i bII bII", "i bvii bII bII"),
    },
    "ionian": {
        "heroic": (
            "I V vi IV", "I IV vi V", "I vi IV V", "I IV I V", "I bVI bVII I", "I bVII IV I",
            "I V/7 vi V", "I iii IV V",
        ),
        "adventurous": ("I bVII IV I", "I IV V I", "I V bVII IV", "I vi IV V", "I bIII IV I"),
        "sad": ("I iii IV iv", "I vi ii IV", "I V/7 vi IV", "I iv I V"),
        "calm": ("I IV I V", "I iii IV I", "I IV ii V", "I I IV IV", "I V/7 vi IV", "I IV/6 I/5 V"),
        "hopeful": (
            "I V vi IV", "I IV vi V", "I vi IV V", "I iii IV V", "I V/7 vi IV", "I ii IV V",
            "I IV I V", "I V/2 I/3 IV",
        ),
        "mysterious": ("I bVI I bVI", "I iv I bVI", "I iii I iii"),
        "romantic": ("I vi ii V", "I iii IV iv", "I V/7 vi IV", "I I/3 IV V", "I vi IV iv"),
    },
    "lydian": {
        "heroic": ("I II IV I", "I II I V", "I II vi II", "I V II I"),
        "mysterious": ("I II I II", "I II iii II", "I vii I II"),
        "calm": ("I II I II", "I I II II", "I vi II I"),
        "hopeful": ("I II vi V", "I II iii II", "I V II IV", "I II I V"),
    },
    "mixolydian": {
        "heroic": ("I bVII IV I", "I v bVII IV", "I bVII I bVII", "I IV bVII I"),
        "calm": ("I bVII IV I", "I v IV I", "I ii bVII I"),
    },
}  # fmt: skip
"""Four chords each, by scale and mood."""

SCALES_OF: dict[Mood, dict[Scale, int]] = {
    "heroic": {"aeolian": 5, "harmonic": 2, "dorian": 2, "ionian": 5, "mixolydian": 2, "lydian": 1},
    "adventurous": {"aeolian": 3, "dorian": 3, "ionian": 4, "mixolydian": 3, "lydian": 2},
    "dark": {"aeolian": 5, "harmonic": 3, "phrygian": 3},
    "tense": {"aeolian": 5, "harmonic": 2, "phrygian": 3},
    "sad": {"aeolian": 5, "harmonic": 3, "ionian": 1},
    "calm": {"aeolian": 3, "dorian": 2, "ionian": 5, "lydian": 2, "mixolydian": 1},
    "hopeful": {"aeolian": 1, "ionian": 6, "lydian": 1},
    "mysterious": {"aeolian": 4, "dorian": 3, "harmonic": 2, "phrygian": 1, "lydian": 2},
    "romantic": {"aeolian": 3, "harmonic": 2, "ionian": 5},
}
"""How often a mood draws on each scale."""

CADENCES: dict[str, dict[Mood, tuple[str, ...]]] = {
    "minor": {
        "heroic": ("bVII", "V", "bVI bVII"), "dark": ("bII", "V", "iv"), "tense": ("V", "bII"),
        "sad": ("iv", "V", "v"), "mysterious": ("bII", "iv", "bVI"), "calm": ("iv", "bVII"),
    },
    "major": {
        "heroic": ("V", "bVI bVII", "IV V"), "hopeful": ("V", "IV", "IV V"), "calm": ("IV", "V"),
        "sad": ("iv", "V"), "mysterious": ("bVI", "iv"), "romantic": ("V", "iv", "IV V"),
    },
}  # fmt: skip
"""What leads to the last chord, by mode and mood."""

OSTINATI: dict[int, tuple[tuple[int | None, ...], ...]] = {
    4: (
        (0, 0, 2, 0, 1, 0, 2, 0), (0, 1, 2, 1, 0, 1, 2, 1), (0, 0, 0, 1, 0, 0, 0, 2),
        (2, 1, 0, 1, 2, 1, 0, 1), (0, 2, 1, 2, 3, 2, 1, 2), (0, 3, 0, 2, 0, 1, 0, 2),
        (0, 0, 3, 0, 0, 2, 0, 1), (0, None, 0, 1, 0, None, 0, 2), (0, 0, 1, 0, 0, 2, 0, 0),
        (3, 0, 2, 0, 1, 0, 2, 0), (0, 2, 3, 0, 2, 3, 0, 2),
    ),
    3: (
        (0, 0, 2, 0, 1, 0), (0, 1, 2, 3, 2, 1), (0, 2, 1, 2, 3, 2), (0, 0, 1, 0, 2, 0),
        (0, 3, 2, 3, 1, 3),
    ),
    6: (
        (0, 1, 2, 0, 1, 2), (0, 0, 1, 0, 0, 2), (0, 2, 1, 3, 2, 1), (0, 1, 2, 3, 2, 1),
        (0, 0, 0, 2, 0, 1),
    ),
}  # fmt: skip
"""Bowed figures, by metre, in eighths: indices into the chord's tones upward; None = a rest."""

FIGURES: dict[int, tuple[tuple[int, ...], ...]] = {
    4: (
        (0, 1, 2, 3, 4, 3, 2, 1), (0, 2, 1, 3, 2, 4, 3, 2), (0, 1, 2, 4, 3, 2, 1, 2),
        (4, 3, 2, 1, 0, 1, 2, 3), (0, 2, 4, 5, 4, 2, 3, 2), (0, 2, 3, 5, 4, 3, 2, 1),
        (0, 3, 1, 4, 2, 5, 1, 4),
    ),
    3: (
        (0, 1, 2, 3, 2, 1), (0, 2, 3, 4, 3, 2), (0, 2, 4, 3, 2, 1), (0, 3, 2, 4, 2, 3),
        (0, 2, 3, 2, 3, 2),
    ),
    6: ((0, 1, 2, 3, 2, 1), (0, 2, 3, 4, 3, 2), (0, 1, 2, 4, 3, 2), (0, 2, 4, 5, 4, 2)),
}  # fmt: skip
"""Plucked figures, by metre, in eighths."""

_T = 1 / 3
RHYTHMS: dict[int, dict[str, tuple[tuple[float, ...], ...]]] = {
    4: {
        "long": ((2, 2), (3, 1), (2, 1, 1), (1, 3), (2.5, 0.5, 1)),
        "mixed": ((1, 1, 2), (1.5, 0.5, 2), (2, 1, 1), (1.5, 1.5, 1), (1, 0.5, 0.5, 2),
                  (2, 1.5, 0.5)),
        "busy": (
            (0.5, 0.5, 1, 0.5, 0.5, 1), (1, 0.5, 0.5, 1, 1), (1.5, 0.5, 1, 1), (1, 1, 1, 1),
            (0.75, 0.25, 1, 0.75, 0.25, 1), (1.5, 0.5, 0.5, 0.5, 1),
        ),
    },
    3: {
        "long": ((2, 1), (1, 2), (2.5, 0.5), (1.5, 1.5)),
        "mixed": ((1, 1, 1), (1.5, 0.5, 1), (2, 0.5, 0.5), (1, 1.5, 0.5)),
        "busy": ((0.5, 0.5, 1, 1), (1, 0.5, 0.5, 1), (0.5, 0.5, 0.5, 0.5, 1), (1.5, 0.5, 0.5, 0.5)),
    },
    6: {
        "long": ((1, 1), (2 * _T, _T, 1), (4 * _T, 2 * _T)),
        "mixed": ((2 * _T, _T, 1), (1, 2 * _T, _T), (2 * _T, _T, 2 * _T, _T)),
        "busy": (
            (_T, _T, _T, 1), (2 * _T, _T, _T, _T, _T), (_T, _T, _T, 2 * _T, _T),
            (1 / 2, 1 / 6, _T, 1),
        ),
    },
}  # fmt: skip
"""Melody rhythms of one bar, in beats."""

Strokes = dict[str, tuple[float, ...]]
DRUM_PATTERNS: dict[int, tuple[Strokes, ...]] = {
    4: (
        {"taiko_low": (0, 1.5, 3), "taiko_high": (2, 2.5, 3.5), "timpani": (0,), "toms": (3, 3.5)},
        {"taiko_low": (0, 0.75, 2), "taiko_high": (1, 1.5, 3, 3.25, 3.5), "timpani": (0, 2)},
        {"taiko_low": (0, 2), "taiko_high": (1, 3, 3.5), "snare": (0, 1, 1.5, 2, 3, 3.5)},
        {"taiko_low": (0, 1, 2, 3), "taiko_high": (0.5, 2.5, 3.5), "timpani": (0, 3)},
        {"taiko_low": (0, 2.5), "timpani": (0, 1.5, 2.5), "snare": (1, 3), "toms": (1.5, 3.5)},
        {"taiko_low": (0, 0.5, 2), "taiko_high": (1, 2.5, 3), "taiko_rim": (0.5, 1.5, 2.5, 3.5)},
        {"taiko_low": (0, 1.5, 2.5), "taiko_high": (3, 3.5), "snare": (1, 1.75, 2, 3, 3.75),
         "anvil": (1, 3)},
        {"taiko_ensemble": (0, 2.5), "taiko_low": (1, 3.5), "taiko_rim": (1, 2, 3),
         "timpani": (0,)},
    ),
    3: (
        {"taiko_low": (0, 2), "taiko_high": (1, 1.5, 2.5), "timpani": (0,)},
        {"taiko_low": (0,), "taiko_high": (1, 2), "snare": (1, 1.5, 2, 2.5), "timpani": (0, 2)},
        {"taiko_low": (0, 1.5), "taiko_rim": (1, 2, 2.5), "timpani": (0,), "toms": (2, 2.5)},
        {"taiko_ensemble": (0,), "taiko_high": (1, 2), "snare": (0, 1, 2, 2.5)},
    ),
    6: (
        {"taiko_low": (0, 1), "taiko_high": (2 * _T, 5 * _T), "timpani": (0,)},
        {"taiko_low": (0, 2 * _T, 1), "taiko_high": (4 * _T, 5 * _T), "snare": (0, _T, 2 * _T, 1)},
        {"taiko_ensemble": (0,), "taiko_low": (1,), "taiko_rim": (_T, 2 * _T, 4 * _T, 5 * _T)},
        {"taiko_low": (0,), "taiko_high": (1, 5 * _T), "toms": (4 * _T, 5 * _T), "timpani": (0, 1)},
    ),
}  # fmt: skip
"""Strokes of one bar at full force, in beats from its start."""

USUAL_STROKES: dict[str, dict[int, tuple[float, ...]]] = {
    "timpani": {4: (0, 2), 3: (0,), 6: (0, 1)},
    "snare": {4: (1, 1.5, 3, 3.5), 3: (1, 2, 2.5), 6: (2 * _T, 1, 5 * _T)},
    "toms": {4: (1.5, 3, 3.5), 3: (2, 2.5), 6: (4 * _T, 5 * _T)},
    "shaker": {4: tuple(i / 2 for i in range(8)), 3: tuple(i / 2 for i in range(6)),
               6: tuple(i * _T for i in range(6))},
    "anvil": {4: (1, 3), 3: (1,), 6: (1,)},
    "taiko_low": {4: (0, 2), 3: (0,), 6: (0, 1)},
    "taiko_high": {4: (1, 3, 3.5), 3: (1, 2), 6: (2 * _T, 5 * _T)},
    "taiko_ensemble": {4: (0,), 3: (0,), 6: (0,)},
    "taiko_rim": {4: (0.5, 1.5, 2.5, 3.5), 3: (1, 1.5, 2, 2.5), 6: (_T, 2 * _T, 4 * _T, 5 * _T)},
}  # fmt: skip
"""What a stroke plays where the pattern has nothing for it, by metre."""
