"""A picture of a piece: its waveform, mel spectrogram and loudness, in one PNG."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt

from fanfare.audio.io import Samples
from fanfare.audio.loudness import loudness_lufs, momentary_lufs
from fanfare.errors import MissingExtraError

FFT_SIZE, N_MELS = 2048, 128
MAX_COLUMNS = 1600
DYNAMIC_RANGE_DB = 80.0


def plot_png(samples: Samples, sample_rate_hz: int, title: str = "") -> bytes:
    """A PNG's bytes for samples [C, N]; needs matplotlib (the extra `plot`)."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        command = "pip install 'fanfare-music[plot]'"
        raise MissingExtraError("matplotlib", "drawing a picture", command) from None

    mono = samples.mean(axis=0)
    duration_s = mono.size / sample_rate_hz
    figure = Figure(figsize=(12, 7), layout="constrained")
    wave, mel, loud = figure.subplots(3, 1, sharex=True, height_ratios=[1, 2.2, 1])

    low, high = _envelope(mono)
    at_s = np.linspace(0, duration_s, low.size)
    wave.fill_between(at_s, low, high, linewidth=0, color="#8a3b12")
    wave.set(ylim=(-1, 1), ylabel="waveform", xlim=(0, duration_s))
    if title:
        wave.set_title(title[:110], loc="left", fontsize=10)

    picture = mel_spectrogram_db(mono, sample_rate_hz)
    extent = (0.0, duration_s, 0.0, float(N_MELS))
    mel.imshow(picture, origin="lower", aspect="auto", extent=extent, cmap="magma",
               vmin=picture.max() - DYNAMIC_RANGE_DB, vmax=picture.max())  # fmt: skip
    shown_hz = [hz for hz in (100, 500, 1000, 2000, 4000, 8000, 16000) if hz <= sample_rate_hz / 2]
    places = _mel(np.array(shown_hz, float)) / _mel(np.array(sample_rate_hz / 2)) * N_MELS
    mel.set_yticks(places, [str(hz) for hz in shown_hz])
    mel.set_ylabel("Hz (mel scale)")

    momentary = momentary_lufs(samples, sample_rate_hz)
    loud.plot(0.2 + 0.1 * np.arange(momentary.size), np.maximum(momentary, -60), color="#1f5a7a")
    whole = loudness_lufs(samples, sample_rate_hz)
    if np.isfinite(whole):
        loud.axhline(whole, color="#999999", linewidth=1, linestyle="--")
    loud.set(ylim=(-60, 0), ylabel="LUFS, 0.4 s", xlabel="seconds")

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def mel_spectrogram_db(mono: npt.NDArray[np.float32], rate_hz: int) -> npt.NDArray[np.float64]:
    """Power in N_MELS bands of equal width in mel, in dB: [N_MELS, at most MAX_COLUMNS]."""
    hop = max(FFT_SIZE // 4, -(-mono.size // MAX_COLUMNS))
    padded = np.pad(mono, (FFT_SIZE // 2, FFT_SIZE // 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, FFT_SIZE)[::hop]
    spectrum = np.fft.rfft(windows * np.hanning(FFT_SIZE), axis=1)  # [columns, bins]
    power = np.square(np.abs(spectrum)) / FFT_SIZE
    return 10 * np.log10(np.maximum(_mel_filters(rate_hz) @ power.T, 1e-12))


def _mel(hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return 2595 * np.log10(1 + hz / 700)


def _mel_filters(rate_hz: int) -> npt.NDArray[np.float64]:
    """Triangles [N_MELS, bins], each of area one so that noise is equally bright everywhere."""
    edges_mel = np.linspace(0, _mel(np.array(rate_hz / 2)), N_MELS + 2)
    edges_hz = 700 * (10 ** (edges_mel / 2595) - 1)
    bins_hz = np.linspace(0, rate_hz / 2, FFT_SIZE // 2 + 1)
    rising = (bins_hz - edges_hz[:-2, None]) / (edges_hz[1:-1] - edges_hz[:-2])[:, None]
    falling = (edges_hz[2:, None] - bins_hz) / (edges_hz[2:] - edges_hz[1:-1])[:, None]
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return triangles / np.maximum(triangles.sum(axis=1, keepdims=True), 1.0)  # type: ignore[no-any-return]


def _envelope(mono: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], ...]:
    """Lowest and highest sample of each of at most MAX_COLUMNS stretches."""
    per_column = max(1, -(-mono.size // MAX_COLUMNS))
    n_columns = -(-mono.size // per_column)
    columns = np.pad(mono, (0, n_columns * per_column - mono.size), mode="edge")
    columns = columns.reshape(n_columns, per_column)
    return columns.min(axis=1), columns.max(axis=1)
