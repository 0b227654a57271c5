"""Chords as chroma: what a caller writes, for models that follow the chroma of a melody."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fanfare.epic.control import Control
from fanfare.epic.score import Chord

USUAL_BPM = 120.0


def chroma_of(
    control: Control, n_rows: int, rows_per_second: float, *, bpm: float = USUAL_BPM, meter: int = 4
) -> NDArray[np.float32]:
    """The chords as pitch classes [n_rows, 12], for models that follow a melody's chroma.

    Every tone of the chord is 1. `bpm` holds where the control has none.
    """
    made = np.zeros((n_rows, 12), np.float32)
    if not control.bars:
        return made
    bar_s = 60.0 / (control.bpm or bpm) * meter
    for row in range(n_rows):
        place = row / rows_per_second / bar_s
        written = control.bars[int(place) % len(control.bars)]
        chord = written[min(int(place % 1 * len(written)), len(written) - 1)]
        made[row, list(Chord(0, 1, chord.root, chord.quality).pitch_classes)] = 1
    return made
