"""Score → synthesiser events, with a synthesiser that only takes notes of what it is told."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fanfare.epic.corpus import piece
from fanfare.epic.render import SAMPLES_PER_FRAME, Renderer, limit, master
from fanfare.errors import MissingExtraError


class NotingSynth:
    """Counts samples and sounding notes; a sounding note is a constant."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.sounding: set[tuple[int, int]] = set()
        self.programs: dict[int, tuple[int, int]] = {}
        self.strokes = 0

    def setting(self, name: str, value: object) -> None: ...
    def set_reverb(self, *values: float) -> None: ...
    def set_chorus(self, *values: float) -> None: ...
    def delete(self) -> None: ...

    def cc(self, channel: int, control: int, value: int) -> None:
        if control == 120:
            self.sounding = {note for note in self.sounding if note[0] != channel}

    def sfload(self, path: str) -> int:
        return 1

    def program_select(self, channel: int, font: int, bank: int, program: int) -> None:
        self.programs[channel] = (bank, program)

    def noteon(self, channel: int, key: int, velocity: int) -> None:
        assert channel in self.programs
        assert 0 <= key < 128
        assert 0 < velocity < 128
        self.strokes += 1
        self.sounding.add((channel, key))

    def noteoff(self, channel: int, key: int) -> None:
        self.sounding.discard((channel, key))

    def get_samples(self, n: int) -> np.ndarray:
        return np.full(2 * n, 100 * len(self.sounding), np.int16)


@pytest.fixture
def soundfont(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(sys.modules, "fluidsynth", SimpleNamespace(Synth=NotingSynth))
    path = tmp_path / "font.sf2"
    path.touch()
    return path


def test_every_note_is_struck_and_the_length_is_exact(soundfont: Path) -> None:
    for seed in range(4):
        score = piece(seed, 333)
        with Renderer(soundfont) as renderer:
            wav = renderer.render(score)
            synth: Any = renderer._synth
            assert synth.strokes == sum(note.role != "effect" for note in score.notes)
            assert not synth.sounding, "nothing rings into the next piece"
        assert wav.shape == (333 * SAMPLES_PER_FRAME,)
        assert wav.dtype == np.float32
        assert 0 < np.abs(wav).max() <= 0.95


def test_sound_starts_with_the_first_note(soundfont: Path) -> None:
    score = piece(2, 200)
    score.notes = [note for note in score.notes if note.start >= 50]
    with Renderer(soundfont) as renderer:
        wav = renderer.render(score)
    first = score.notes[0].start * SAMPLES_PER_FRAME
    assert not wav[:first].any()
    assert wav[first]


def test_a_missing_synthesiser_says_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(MissingExtraError, match="fluid-soundfont-gm"):
        Renderer(tmp_path / "none.sf2")


def test_louder_pieces_are_mastered_louder_and_nothing_passes_the_ceiling() -> None:
    noise = np.random.default_rng(0).normal(0, 0.01, 96000).astype(np.float32)
    levels = [float(np.sqrt((master(noise, i) ** 2).mean())) for i in range(4)]
    assert levels == sorted(levels)
    assert np.abs(limit(noise * 1000)).max() <= 0.95
    assert np.isfinite(master(np.zeros(64000, np.float32), 3)).all()
