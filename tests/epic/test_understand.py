"""Reading prompts: development cases by hand, and a held-out set of wordings."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from fanfare.epic.attributes import KEY_NAMES, MAX_BPM, MIN_BPM, Attributes
from fanfare.epic.notation import fold_bpm
from fanfare.epic.understand import understand

WORDINGS = Path(__file__).parents[1] / "golden" / "wordings.json"
DRUMS = ("taiko", "timpani", "snare", "cymbals")

# Only what is listed is checked; bpm as a number (4 % slack) or as a range [lo, hi].
CASES: list[tuple[str, dict[str, Any]]] = [
    # tempo
    ("epic drums at 90 beats per minute", {"bpm": 90}),
    ("120bpm", {"bpm": 120}),
    ("tempo: 100", {"bpm": 100}),
    ("somewhere around 90-100 bpm", {"bpm": 95}),
    ("between 80 and 90 bpm", {"bpm": 85}),
    ("one hundred and twenty beats per minute", {"bpm": 120}),
    ("ninety-five bpm", {"bpm": 95}),
    ("harp, D minor, 72", {"bpm": 72, "key": 2}),
    ("180 bpm", {"bpm": 90}),
    ("40 bpm", {"bpm": 80}),
    ("half-time, 140 bpm", {"bpm": 70}),
    ("30 seconds of music at 44100 Hz", {"bpm": None}),
    ("largo", {"bpm": [60, 66]}),
    ("an andante for strings", {"bpm": [76, 100]}),
    ("Allegro con brio", {"bpm": [120, 150]}),
    ("presto!", {"bpm": [150, 166]}),
    ("slow", {"bpm": [60, 80]}),
    ("very slow", {"bpm": [60, 66]}),
    ("fast-paced", {"bpm": [125, 160]}),
    ("extremely fast", {"bpm": [150, 166]}),
    ("mid-tempo groove", {"bpm": [90, 115]}),
    ("slow to moderate tempo", {"bpm": [75, 95]}),
    ("not too fast", {"bpm": [70, 110]}),
    ("it should not be slow", {"bpm": [90, 130]}),
    ("slowly dissolving into silence", {"bpm": None, "form": "fade"}),
    ("a slow build", {"bpm": None, "form": "build"}),
    ("langsam und traurig", {"bpm": [60, 80], "mood": "sad"}),
    ("rapide et joyeux", {"bpm": [125, 160], "mood": "hopeful"}),
    # key and mode
    ("in D minor", {"key": 2, "mode": "minor"}),
    ("Dm, sad", {"key": 2, "mode": "minor"}),
    ("F# major", {"key": 6, "mode": "major"}),
    ("F sharp minor", {"key": 6, "mode": "minor"}),
    ("Bb min", {"key": 10, "mode": "minor"}),
    ("in A-flat major", {"key": 8, "mode": "major"}),
    ("E♭ major", {"key": 3, "mode": "major"}),
    ("key of G", {"key": 7, "mode": None}),
    ("d-Moll", {"key": 2, "mode": "minor"}),
    ("h-Moll, fis-Moll", {"key": 11, "mode": "minor"}),
    ("C-Dur", {"key": 0, "mode": "major"}),
    ("en ré mineur", {"key": 2, "mode": "minor"}),
    ("si bémol majeur", {"key": 10, "mode": "major"}),
    ("en re menor", {"key": 2, "mode": "minor"}),
    ("sol mayor", {"key": 7, "mode": "major"}),
    ("la mayor parte del tiempo", {"key": None, "mode": None}),
    ("a minor chord progression", {"key": None, "mode": "minor"}),
    ("with a minor key feel", {"key": None, "mode": "minor"}),
    ("In A minor, slow choir", {"key": 9, "mode": "minor"}),
    ("sad piano, a minor, 90 bpm", {"key": 9, "mode": "minor"}),
    ("A major battle scene", {"key": None, "mode": None}),
    ("D Dorian", {"key": 2, "mode": "minor"}),
    ("lydian wonder", {"key": None, "mode": "major", "scale": "lydian"}),
    ("D dorian", {"key": 2, "scale": "dorian"}),
    ("harmonic minor strings", {"mode": "minor", "scale": "harmonic"}),
    ("no phrygian please", {"scale": None}),
    ("intimate chamber music", {"texture": "chamber"}),
    ("full orchestra at full force", {"texture": "full"}),
    ("strings and brass", {"texture": None}),
    ("E phrygian", {"key": 4, "mode": "minor"}),
    ("Am I hearing a piano?", {"key": None}),
    # mood
    ("a thrilling pirate adventure", {"mood": "adventurous"}),
    ("ominous and menacing", {"mood": "dark"}),
    ("ticking clock, urgent chase", {"mood": "tense"}),
    ("melancholic farewell", {"mood": "sad"}),
    ("peaceful meadow at dawn", {"mood": "calm"}),
    ("uplifting and inspiring", {"mood": "hopeful"}),
    ("arcane enchanted forest", {"mood": "mysterious"}),
    ("tender love theme", {"mood": "romantic"}),
    ("triumphant coronation", {"mood": "heroic", "intensity": 3}),
    ("isn't sad, more hopeful than dark", {"mood": "hopeful"}),
    ("not sad at all but rather mysterious", {"mood": "mysterious"}),
    ("anything but sad", {"mood": None}),
    ("I would love some tense music", {"mood": "tense"}),
    ("düstere, bedrohliche Musik", {"mood": "dark"}),
    ("geheimnisvolle Klänge", {"mood": "mysterious"}),
    ("musique héroïque et victorieuse", {"mood": "heroic"}),
    ("música misteriosa", {"mood": "mysterious"}),
    ("mysterios melancolic", {"mood": "mysterious"}),
    # intensity
    ("whisper-quiet strings", {"intensity": 0}),
    ("very soft piano", {"intensity": 0}),
    ("gentle harp", {"intensity": 1}),
    ("energetic strings", {"intensity": 2}),
    ("thunderous, fff", {"intensity": 3}),
    ("a huge battle", {"intensity": 3}),
    ("not too loud", {"intensity": [1, 2]}),
    ("puissant et massif", {"intensity": 3}),
    # form
    ("building up to a climax", {"form": "build"}),
    ("crescendo from pp to ff", {"form": "build", "intensity": 3}),
    ("starts soft, ends thunderous", {"form": "build"}),
    ("starts thunderous and ends in a whisper", {"form": "fade"}),
    ("from quiet to loud", {"form": "build"}),
    ("it calms down and dies away", {"form": "fade"}),
    ("brass stabs, stop-start rhythm", {"form": "hit", "instruments": ["brass"]}),
    ("a steady, loopable bed", {"form": "steady"}),
    ("no build-up, please", {"form": "steady"}),
    ("wird immer lauter", {"form": "build"}),
    # meter
    ("a waltz", {"meter": 3}),
    ("a barcarolle", {"meter": 6}),
    ("in 6/8", {"meter": 6}),
    ("a 3/8 dance", {"meter": 3}),
    ("4/4 rock beat", {"meter": 4}),
    ("7/8", {"meter": None}),
    ("not a waltz but a march", {"meter": 4}),
    ("Walzertakt", {"meter": 3}),
    # instruments
    ("woodwinds", {"instruments": ["flute", "oboe", "clarinet"]}),
    ("full orchestra", {"instruments": ["strings", "brass"]}),
    ("tribal war drums", {"instruments": ["taiko"]}),
    ("violins and French horns", {"instruments": ["strings", "horn"]}),
    ("low brass, church organ, music box", {"instruments": ["trombone", "organ", "celesta"]}),
    ("Latin chant, lute, double bass", {"instruments": ["choir", "guitar", "contrabass"]}),
    ("synth drone, kettledrums, gong", {"instruments": ["pad", "timpani", "tam_tam"]}),
    ("plucked strings, tubular bells", {"instruments": ["pizzicato", "bells"]}),
    ("braams and risers", {"instruments": ["braam", "riser"]}),
    ("a swoosh, sub drops, slams", {"instruments": ["whoosh", "sub_drop", "impact"]}),
    ("viola and cor anglais", {"instruments": ["viola", "english_horn"]}),
    ("tuba, bassoons and marimba", {"instruments": ["tuba", "bassoon", "marimba"]}),
    ("emotional impact", {"instruments": []}),
    ("orchstra and trumpts", {"instruments": ["strings", "trumpet"]}),
    ("Streicher, Pauken und Hörner", {"instruments": ["strings", "timpani", "horn"]}),
    ("cuivres, chœur et harpe", {"instruments": ["brass", "choir", "harp"]}),
    ("tambores y coro", {"instruments": ["taiko", "choir"]}),
    ("a spring morning by James Horner", {"instruments": []}),
    ("organic breakfast", {"instruments": []}),
    # only and without
    ("solo harp", {"instruments": ["harp"], "only": True}),
    ("only strings", {"instruments": ["strings"], "only": True}),
    ("just piano and cello", {"instruments": ["piano", "cello"], "only": True}),
    ("nothing but choir", {"instruments": ["choir"], "only": True}),
    ("piano only, in E minor", {"only": True, "key": 4}),
    ("unaccompanied cello", {"only": True}),
    ("a cappella", {"instruments": ["choir"], "only": True}),
    ("string quartet", {"instruments": ["violin", "cello"], "only": True}),
    ("nur Klavier", {"instruments": ["piano"], "only": True}),
    ("piano seul", {"only": True}),
    ("orchestra with a solo violin", {"instruments": ["violin"], "only": False}),
    ("solo trumpet over strings", {"only": False}),
    ("not only strings but also choir", {"only": False, "instruments": ["strings", "choir"]}),
    ("just a touch of piano", {"only": False}),
    ("strings, drums only at the end", {"only": False}),
    ("no drums", {"without": DRUMS, "instruments": []}),
    ("without percussion or choir", {"without": [*DRUMS, "choir"]}),
    ("no drums, choir or brass; flute", {"without": ["taiko", "choir"], "instruments": ["flute"]}),
    ("no drums, just strings", {"without": DRUMS, "instruments": ["strings"], "only": True}),
    ("epic, minus the choir", {"without": ["choir"]}),
    ("instrumental, no vocals", {"without": ["choir"]}),
    ("drumless ambient", {"without": ["taiko"]}),
    ("percussion-free", {"without": DRUMS}),
    ("I don't want any brass", {"without": ["brass", "trumpet"]}),
    ("no brass except a horn", {"without": ["brass"], "instruments": ["horn"]}),
    ("orchestra without brass", {"without": ["brass", "horn"], "instruments": ["strings"]}),
    ("no drums until the climax", {"without": []}),
    ("w/o piano, w/ choir", {"without": ["piano"], "instruments": ["choir"]}),
    ("ohne Schlagzeug", {"without": DRUMS}),
    ("sans percussion ni cuivres", {"without": [*DRUMS, "brass"]}),
    ("sin batería, con coro", {"without": DRUMS, "instruments": ["choir"]}),
]


def right_labels(got: Attributes, labels: dict[str, Any]) -> list[bool]:
    """One verdict a label; each instrument, wanted or not, is a label of its own."""
    verdicts = []
    for name, wanted in labels.items():
        value = getattr(got, name)
        if name in ("instruments", "without"):
            verdicts += [instrument in value for instrument in wanted]
        elif name == "bpm" and isinstance(wanted, int | float):
            verdicts.append(value is not None and abs(value / wanted - 1) <= 0.04)
        elif name == "bpm" and wanted is not None:
            verdicts.append(value is not None and wanted[0] <= value <= wanted[1])
        elif name == "key" and isinstance(wanted, str):
            verdicts.append(value == KEY_NAMES.index(wanted))
        else:
            verdicts.append(value in wanted if isinstance(wanted, list) else value == wanted)
    return verdicts


@pytest.mark.parametrize(("prompt", "labels"), CASES, ids=[prompt for prompt, _ in CASES])
def test_development_wordings(prompt: str, labels: dict[str, Any]) -> None:
    got = understand(prompt)
    assert all(right_labels(got, labels)), got
    for name in ("instruments", "without"):
        if name in labels and not labels[name]:
            assert getattr(got, name) == ()


def test_held_out_wordings_are_nine_in_ten_right() -> None:
    data = json.loads(WORDINGS.read_text(encoding="utf-8"))
    lists = [data] if isinstance(data, list) else [v for v in data.values() if type(v) is list]
    cases = lists[0]
    verdicts: list[bool] = []
    wrong: list[str] = []
    for case in cases:
        nested = (case[name] for name in ("labels", "expect", "attributes") if name in case)
        labels = next(
            nested, {k: v for k, v in case.items() if k in Attributes.__dataclass_fields__}
        )
        got = understand(case["prompt"])
        of_case = right_labels(got, labels)
        verdicts += of_case
        if not all(of_case):
            wrong.append(f"{case['prompt']!r}: {labels} but {got}")
    assert verdicts
    assert sum(verdicts) >= 0.9 * len(verdicts), "\n".join(wrong)


GARBAGE = [
    "", " ", "\n\t\r", "0", "#", "'", "''''", "n't", "-", "////", "((((", "🎻🎻🔥",
    "\x00\x01", "\ud800",
    "音楽 壮大な 交響曲", "эпическая музыка", "موسيقى ملحمية",
    "e\u0301" * 50, "\ufdfa" * 9000,
    "no", "only", "in A", "bpm", "bpm 0", "99999999 bpm", "0 bpm", "5 bpm", "1/0",
    "without", "solo",
    "not not not", "a" * 9000, "1" * 9000, "12 " * 3000, "tempo " + ": " * 4000, "'" * 9000,
]  # fmt: skip


@pytest.mark.parametrize("prompt", GARBAGE, ids=range(len(GARBAGE)))
def test_anything_is_understood_somehow(prompt: str) -> None:
    assert understand(prompt) == understand(prompt)


def test_random_mixtures_never_raise() -> None:
    rng = random.Random(0)
    pieces = [*" ,.;:-/'#0123456789", "no ", "only ", "solo ", " bpm", "drums ", "in A minor ", "é"]
    for _ in range(500):
        understand("".join(rng.choices(pieces, k=rng.randrange(60))))


@pytest.mark.parametrize("bpm", [15.0, 37.0, 60.0, 100.0, 166.0, 180.0, 333.0, 400.0])
def test_tempos_fold_by_octaves(bpm: float) -> None:
    folded = fold_bpm(bpm)
    assert folded is not None
    assert MIN_BPM <= folded <= MAX_BPM
    assert (folded / bpm) in (0.25, 0.5, 1.0, 2.0, 4.0)


def test_long_prompts_are_read_quickly() -> None:
    prompt = CASES[0][0]
    understand(prompt)  # the vocabulary is built once
    started = time.perf_counter()
    for unit in ("no drums, ", "solo piano and ", "misterioos ", "in A ", "1/", "not a b "):
        understand(unit * 3000)
    assert time.perf_counter() - started < 2.0  # about 0.15 s; quadratic would take minutes
