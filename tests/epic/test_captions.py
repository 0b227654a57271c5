"""Captions: they say what is wanted, in many ways, and what they leave open stays open."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest

from fanfare.epic.attributes import (
    EFFECTS,
    INSTRUMENTS,
    MODE_OF,
    PERCUSSION,
    SCALES,
    Attributes,
)
from fanfare.epic.caption_words import PLAYERS, Language
from fanfare.epic.captions import caption
from fanfare.epic.understand import understand
from fanfare.epic.wishes import wish


def verdicts(wanted: Attributes, got: Attributes) -> list[tuple[str, bool]]:
    """Attribute by attribute, whether it was understood; only what was said counts."""
    made = [
        (name, getattr(got, name) == getattr(wanted, name))
        for name in ("key", "mode", "scale", "mood", "intensity", "form", "texture")
        if getattr(wanted, name) is not None
    ]
    if wanted.meter in (3, 6):
        made.append(("meter", got.meter == wanted.meter))
    if wanted.bpm is not None:
        made.append(("bpm", got.bpm is not None and abs(got.bpm / wanted.bpm - 1) < 0.01))
    made += [("instruments", name in got.instruments) for name in wanted.instruments]
    made += [("without", name in got.without) for name in wanted.without]
    if wanted.instruments:
        made.append(("only", got.only == wanted.only))
    return made


@pytest.mark.parametrize("language", ["en", "de", "fr", "es"])
def test_what_is_wanted_is_understood(language: Language) -> None:
    right: Counter[str] = Counter()
    asked: Counter[str] = Counter()
    for seed in range(400):
        rng = random.Random(f"{language} {seed}")
        wanted = wish(rng)
        for name, is_right in verdicts(wanted, understand(caption(wanted, rng, language))):
            asked[name] += 1
            right[name] += is_right
    for name, n in asked.items():
        assert right[name] >= (0.93 if name == "intensity" else 0.97) * n, (name, right[name], n)


def test_what_is_left_open_stays_open() -> None:
    for seed in range(200):
        rng = random.Random(seed)
        wanted = Attributes(key=rng.randrange(12), mode="minor")
        got = understand(caption(wanted, rng, "en"))
        assert (got.key, got.mode, got.mood) == (wanted.key, "minor", None)
        assert got.instruments == ()
        assert not got.only


def test_wordings_differ() -> None:
    wanted = Attributes(
        bpm=96.0, mode="minor", key=2, mood="dark", intensity=3, instruments=("choir", "taiko")
    )
    texts = [caption(wanted, random.Random(seed)) for seed in range(200)]
    assert len(set(texts)) > 190
    assert any(text.count(".") >= 1 for text in texts)
    assert any("," in text and "." not in text for text in texts)
    short = [caption(Attributes(mood="dark"), random.Random(seed)) for seed in range(50)]
    assert min(len(text.split()) for text in short) <= 2
    foreign = [text for text in texts if re.search(r"\b(?:Musik|musique|música|Filmmusik)\b", text)]
    assert 0.03 * len(texts) < len(foreign) < 0.25 * len(texts)


def test_the_same_seed_gives_the_same_words() -> None:
    wanted = wish(random.Random(1))
    assert caption(wanted, random.Random(5)) == caption(wanted, random.Random(5))


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_every_name_of_an_instrument_means_it(name: str) -> None:
    for words in PLAYERS.get(name, (name,)):
        assert understand(f"music with {words}").instruments == (name,), words


def test_wishes_cover_what_there_is() -> None:
    wishes = [wish(random.Random(seed)) for seed in range(3000)]
    named = Counter(name for wanted in wishes for name in wanted.instruments)
    assert set(named) == set(INSTRUMENTS)
    assert {wanted.scale for wanted in wishes} == {None, *SCALES} - {"aeolian", "ionian"}
    assert {wanted.meter for wanted in wishes} == {None, 3, 4, 6}
    assert {wanted.texture for wanted in wishes} == {None, "chamber", "full"}
    keys = Counter(wanted.key for wanted in wishes if wanted.key is not None)
    assert len(keys) == 12
    assert min(keys.values()) > 50, "each expected 90 times"
    assert all(MODE_OF[wanted.scale] == wanted.mode for wanted in wishes if wanted.scale)
    assert not any(wanted.only and set(wanted.instruments) & {*PERCUSSION, *EFFECTS}
                   for wanted in wishes)  # fmt: skip
    assert 0.1 < sum(not wanted.instruments for wanted in wishes) / len(wishes) < 0.6
