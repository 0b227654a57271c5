"""Pictures of pieces, for evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fanfare.epic.listen import SAMPLE_RATE_HZ, spectrum


def compare(wavs: Mapping[str, NDArray[np.float32]], title: str, path: Path) -> None:
    """Log-frequency spectrograms of several renderings of one piece, above one another."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(len(wavs), 1, figsize=(12, 2.6 * len(wavs)), squeeze=False)
    for axis, (name, wav) in zip(axes[:, 0], wavs.items(), strict=True):
        magnitude = spectrum(wav, 2048)
        edges = np.unique(np.geomspace(2, magnitude.shape[1], 160).astype(int))
        bands = np.add.reduceat(magnitude, edges[:-1], axis=1) / np.diff(edges)
        db = 20 * np.log10(bands / bands.max() + 1e-5)
        axis.imshow(db.T, origin="lower", aspect="auto", vmin=-75, vmax=0, cmap="magma")
        marks = [100, 300, 1000, 3000, 10000]
        rows = np.searchsorted(edges, [m * 2048 / SAMPLE_RATE_HZ for m in marks])
        axis.set_yticks(rows, [f"{m} Hz" for m in marks], fontsize=7)
        axis.set_ylabel(name)
        axis.set_xticks(range(0, len(db), 50), [str(i) for i in range(-(-len(db) // 50))])
    axes[0, 0].set_title(title, fontsize=9)
    axes[-1, 0].set_xlabel("seconds")
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)
