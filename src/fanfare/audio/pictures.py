"""A picture of a piece: waveform, mel spectrogram, chroma, loudness, and what made it, as a PNG.

Needs matplotlib (the extra `plot`). C channels, N samples.
"""

from __future__ import annotations

import io
import textwrap
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from fanfare.audio.analysis import chroma, mel, mel_spectrogram_db, true_peak_dbfs
from fanfare.audio.io import Samples
from fanfare.audio.loudness import BLOCK_S, STEP_S, loudness_lufs, momentary_lufs
from fanfare.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

N_BANDS = 128
MAX_COLUMNS = 1600
DYNAMIC_RANGE_DB = 80.0
LOW_LUFS = -48.0
SIZE_IN, DPI = (12.0, 8.4), 120
TITLE_CHARS, MAX_TITLE_LINES = 88, 2
SETTINGS_CHARS, MAX_SETTINGS_LINES = 150, 3

PAPER, INK, MUTED, RULE, ACCENT = "#fcfbf9", "#1f1a17", "#776e66", "#e4dfd8", "#a9470a"
HEAT = ("#16110f", "#3f1712", "#8a2f17", "#cf6a2c", "#f2b866", "#fff4dc")
PITCHES = ("C", "", "D", "", "E", "F", "", "G", "", "A", "", "B")


def picture_png(
    samples: Samples,
    sample_rate_hz: int,
    title: str = "",
    settings: Mapping[str, object] | None = None,
) -> bytes:
    """A PNG's bytes for samples [C, N].

    Args:
        title: the prompt, say; any text, shown as it is.
        settings: what made it, by name; written below.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        command = "pip install 'fanfare-music[plot]'"
        raise MissingExtraError("matplotlib", "drawing a picture", command) from None

    figure = Figure(figsize=SIZE_IN, dpi=DPI, facecolor=PAPER)
    rows = figure.add_gridspec(
        4, 1, height_ratios=[1.0, 2.3, 1.15, 1.0], hspace=0.16,
        left=0.075, right=0.975, top=0.865, bottom=0.145,
    )  # fmt: skip
    wave, mels, classes, loud = (figure.add_subplot(rows[at]) for at in range(4))
    mono, duration_s = samples.mean(axis=0), samples.shape[1] / sample_rate_hz
    _draw_wave(wave, mono, duration_s)
    _draw_mels(mels, mono, sample_rate_hz, duration_s)
    _draw_classes(classes, mono, sample_rate_hz, duration_s)
    _draw_loudness(loud, samples, sample_rate_hz)
    for axes in (wave, mels, classes, loud):
        _plain(axes, duration_s, is_last=axes is loud)
    _write(figure, title, _facts(samples, sample_rate_hz), settings or {})
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Prompts may be in letters that the font lacks: they are drawn as boxes.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _draw_wave(axes: Axes, mono: npt.NDArray[np.float32], duration_s: float) -> None:
    low, high = _envelope(mono)
    at_s = np.linspace(0, duration_s, low.size)
    axes.fill_between(at_s, low, high, linewidth=0.4, color=ACCENT)
    axes.set(ylim=(-1, 1), ylabel="waveform", yticks=[-1, 0, 1])


def _draw_mels(axes: Axes, mono: npt.NDArray[np.float32], rate_hz: int, duration_s: float) -> None:
    levels, _ = mel_spectrogram_db(mono, rate_hz, N_BANDS, MAX_COLUMNS)
    axes.imshow(
        levels, origin="lower", aspect="auto", extent=(0.0, duration_s, 0.0, float(N_BANDS)),
        cmap=_colours(HEAT), vmin=levels.max() - DYNAMIC_RANGE_DB, vmax=levels.max(),
    )  # fmt: skip
    shown = [hz for hz in (100, 500, 1000, 2000, 4000, 8000, 16000) if hz <= rate_hz / 2]
    places = mel(np.array(shown, float)) / mel(np.array(rate_hz / 2)) * N_BANDS
    axes.set_yticks(places, [f"{hz // 1000}k" if hz >= 1000 else str(hz) for hz in shown])
    axes.set_ylabel("Hz (mel)")


def _draw_classes(
    axes: Axes, mono: npt.NDArray[np.float32], rate_hz: int, duration_s: float
) -> None:
    values = chroma(mono, rate_hz).values
    axes.imshow(
        values, origin="lower", aspect="auto", extent=(0.0, duration_s, 0.0, 12.0),
        cmap=_colours((PAPER, "#f1cfae", "#d9823f", ACCENT, "#5d1f10")), vmin=0, vmax=1,
        interpolation="nearest",
    )  # fmt: skip
    named = [at for at, name in enumerate(PITCHES) if name]
    axes.set_yticks([at + 0.5 for at in named], [PITCHES[at] for at in named])
    axes.set_ylabel("chroma")


def _draw_loudness(axes: Axes, samples: Samples, rate_hz: int) -> None:
    momentary = np.maximum(momentary_lufs(samples, rate_hz), LOW_LUFS)
    at_s = BLOCK_S / 2 + STEP_S * np.arange(momentary.size)
    axes.fill_between(at_s, LOW_LUFS, momentary, color=ACCENT, alpha=0.14, linewidth=0)
    axes.plot(at_s, momentary, color=ACCENT, linewidth=1.4)
    whole = loudness_lufs(samples, rate_hz)
    if np.isfinite(whole):
        axes.axhline(whole, color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)))
    axes.set(ylim=(LOW_LUFS, 0), yticks=[-40, -20, 0], ylabel="LUFS", xlabel="seconds")


def _plain(axes: Axes, duration_s: float, *, is_last: bool) -> None:
    """No more lines than are needed."""
    axes.set_xlim(0, duration_s)
    axes.set_facecolor(PAPER)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_color(RULE)
    axes.tick_params(
        colors=MUTED, labelsize=8.5, length=3, labelbottom=is_last, bottom=is_last, color=RULE
    )
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=MUTED, fontsize=9)
    axes.yaxis.set_label_coords(-0.052, 0.5)


def _facts(samples: Samples, rate_hz: int) -> str:
    """A line about the sound itself."""
    channels = "stereo" if samples.shape[0] == 2 else "mono"
    facts = [f"{samples.shape[1] / rate_hz:.1f} s", f"{rate_hz / 1000:g} kHz {channels}"]
    loudness, peak = loudness_lufs(samples, rate_hz), true_peak_dbfs(samples)
    if np.isfinite(loudness):
        facts.append(f"{loudness:.1f} LUFS")
    if np.isfinite(peak):
        facts.append(f"true peak {peak:.1f} dBFS")
    return "   ·   ".join(facts).replace("-", "−")


def _write(figure: Figure, title: str, facts: str, settings: Mapping[str, object]) -> None:
    """The words around the pictures; dollar signs are dollar signs."""
    lines = textwrap.wrap(" ".join(title.split()), TITLE_CHARS)
    if len(lines) > MAX_TITLE_LINES:
        lines = [*lines[: MAX_TITLE_LINES - 1], lines[MAX_TITLE_LINES - 1] + " …"]
    words: dict[str, Any] = {"ha": "left", "parse_math": False}
    shown = "\n".join(lines)
    figure.text(
        0.075, 0.915, shown, va="bottom", color=INK, fontsize=13.5, linespacing=1.3, **words
    )
    figure.text(0.075, 0.882, facts, va="bottom", color=MUTED, fontsize=9.5, **words)
    told = "    ".join(f"{name} {value}" for name, value in settings.items())
    below = textwrap.wrap(told, SETTINGS_CHARS, replace_whitespace=False)[:MAX_SETTINGS_LINES]
    note = "\n".join(below)
    figure.text(0.075, 0.072, note, va="top", color=MUTED, fontsize=8.5, linespacing=1.5, **words)


def _colours(names: tuple[str, ...]) -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("fanfare", names)


def _envelope(mono: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], ...]:
    """Lowest and highest sample of each of at most MAX_COLUMNS stretches."""
    per_column = max(1, -(-mono.size // MAX_COLUMNS))
    n_columns = -(-mono.size // per_column)
    columns = np.pad(mono, (0, n_columns * per_column - mono.size), mode="edge")
    columns = columns.reshape(n_columns, per_column)
    return columns.min(axis=1), columns.max(axis=1)
