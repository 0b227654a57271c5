"""Does a long piece wander off? Its loudness against its own first half minute, and its seams.

What to expect: a model that goes on from its own output can only drift if something lets it. With
a plan for every frame epic-mini is told how loud each bar is to be, and the scores themselves keep
still: five minutes of a steady one, played by FluidSynth, stay within 2.3 LU of their beginning,
with a slope of 0.01 LU a minute. Forms that rise or fall do so by design: ask for "steady" to
measure drift. Models that go on in windows hear 12 s of what came before; a seam that can be heard
would show as a burst of spectral flux that the music elsewhere hasn't.

Short-term loudness is that of 3 s (BS.1770, EBU Tech 3341), before any levelling. The last 4 s are
left out: endings die away. Flux is the rise of the log spectrum from one 10 ms to the next.

Prints a table, draws a picture and ends with one line of JSON:

    python bench/drift.py                        # five minutes of epic-mini
    python bench/drift.py --file piece.wav       # of any recording; --seams 30 18 if it has seams
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fanfare.audio.io import Samples, encode, read_audio
from fanfare.audio.loudness import SHORT_TERM_S, STEP_S, loudness_lufs, short_term_lufs

PROMPT = (
    "steady heroic march, brass, strings and taiko, 110 bpm, D minor, same intensity throughout"
)
REFERENCE_S, TAIL_S = 30.0, 4.0
TOLERANCE_LU = 3.0
FLOOR_LUFS = -70.0
FFT_SIZE, HOP_S = 1024, 0.01
SEAM_REACH_S = 0.05
SEAM_CLEARANCE_S = 1.0


@dataclass(frozen=True, eq=False)
class Piece:
    """What is measured: samples [C, N], where its windows were joined, and what was intended."""

    samples: Samples
    rate_hz: int
    seams_s: list[float]
    facts: dict[str, object]
    levels: npt.NDArray[np.float64] | None = None  # intensity at each 1/50 s


def generated(weights: str, prompt: str, seed: int, duration_s: int) -> Piece:
    """A piece of a model, scaled but not limited."""
    import fanfare
    from fanfare.engine.windows import plan_windows

    model = fanfare.load(weights)
    started = time.perf_counter()
    audio = model.generate(
        prompt=prompt, duration=duration_s, seed=seed, normalization_strategy="peak"
    )
    factor = audio.duration_s / (time.perf_counter() - started)
    config = model.bundle.config
    windows = plan_windows(config, duration_s * config.frame_rate_hz)
    seams_s = [(w.start + w.n_prompt) / config.frame_rate_hz for w in windows[1:]]
    facts: dict[str, object] = {"weights": model.name, "prompt": prompt, "seed": seed}
    facts["real_time_factor"] = round(factor, 2)
    levels = None
    if config.plan_features is not None:
        form, levels = intended(prompt, seed, duration_s * config.frame_rate_hz)
        facts["form"] = form
    return Piece(audio.samples, audio.sample_rate_hz, seams_s, facts, levels)


def intended(prompt: str, seed: int, n_frames: int) -> tuple[str, npt.NDArray[np.float64]]:
    """The form that the director settles on, and the intensity of every frame."""
    import random

    from fanfare.epic.director import write_score
    from fanfare.epic.understand import understand

    score = write_score(understand(prompt), n_frames, random.Random(seed))
    return score.brief.form, np.repeat(score.levels, score.frames_per_bar)[:n_frames]


def recorded(file: Path, seams: list[float] | None) -> Piece:
    """A recording; `seams` are the first one and the distance between two, in seconds."""
    recording = read_audio(file, field="file", max_s=3600, max_bytes=2**31)
    seams_s: list[float] = []
    if seams:
        seams_s = np.arange(seams[0], recording.duration_s - 1, seams[1]).tolist()
    return Piece(recording.samples, recording.sample_rate_hz, seams_s, {"file": str(file)})


def loudness_drift(piece: Piece) -> tuple[dict[str, object], npt.NDArray[np.float64]]:
    """Figures, and the curve they are from: short-term loudness less the beginning's, in LU."""
    reference = loudness_lufs(piece.samples[:, : int(REFERENCE_S * piece.rate_hz)], piece.rate_hz)
    curve = np.maximum(short_term_lufs(piece.samples, piece.rate_hz), FLOOR_LUFS) - reference
    judged = curve[: max(1, curve.size - round(TAIL_S / STEP_S))]
    at_min = np.arange(judged.size) * STEP_S / 60
    slope = float(np.polyfit(at_min, judged, 1)[0]) if judged.size > 1 else 0.0
    worst = int(np.abs(judged).argmax())
    minutes = np.array_split(judged, max(1, round(judged.size * STEP_S / 60)))
    return {
        "first_30_s_lufs": round(float(reference), 2),
        "largest_deviation_lu": round(float(judged[worst]), 2),
        "at_s": round(worst * STEP_S + SHORT_TERM_S / 2, 1),
        "within_3_lu": round(float((np.abs(judged) <= TOLERANCE_LU).mean()), 4),
        "slope_lu_per_min": round(slope, 3),
        "median_by_minute_lu": [round(float(np.median(minute)), 2) for minute in minutes],
    }, curve


def spectral_flux(piece: Piece) -> npt.NDArray[np.float64]:
    """How much the log spectrum rises, one value each HOP_S, in dB averaged over the bins."""
    mono = piece.samples.mean(axis=0)
    hop = round(HOP_S * piece.rate_hz)
    padded = np.pad(mono, FFT_SIZE // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, FFT_SIZE)[::hop]
    flux = [np.zeros(1)]
    last = None
    for block in np.array_split(windows, max(1, len(windows) // 4096)):
        magnitude = np.abs(np.fft.rfft(block * np.hanning(FFT_SIZE), axis=1))
        level_db = 20 * np.log10(magnitude + 1e-3)
        rows = level_db if last is None else np.concatenate([last, level_db])
        flux.append(np.maximum(np.diff(rows, axis=0), 0).mean(axis=1))
        last = level_db[-1:]
    return np.concatenate(flux)


def seam_flux(piece: Piece, flux: npt.NDArray[np.float64]) -> dict[str, object]:
    """The seams' flux against that of places elsewhere: 0.5 is as elsewhere, 1 stands out."""
    if not piece.seams_s:
        return {"seams": 0}
    duration_s = piece.samples.shape[1] / piece.rate_hz
    places = np.arange(1.0, duration_s - TAIL_S, 0.25)
    nearest = np.abs(places[:, None] - np.array(piece.seams_s)).min(axis=1)
    elsewhere = np.array([_peak(flux, at_s) for at_s in places[nearest > SEAM_CLEARANCE_S]])
    seams = np.array([_peak(flux, at_s) for at_s in piece.seams_s])
    ranks = (elsewhere < seams[:, None]).mean(axis=1)
    return {
        "seams": len(seams),
        "seam_flux_db": round(float(np.median(seams)), 3),
        "flux_elsewhere_db": round(float(np.median(elsewhere)), 3),
        "median_rank_of_seams": round(float(np.median(ranks)), 3),
        "seams_above_95_percent_of_places": int((ranks > 0.95).sum()),
    }


def _peak(flux: npt.NDArray[np.float64], at_s: float) -> float:
    """The highest flux near a moment."""
    first = max(0, round((at_s - SEAM_REACH_S) / HOP_S))
    return float(flux[first : round((at_s + SEAM_REACH_S) / HOP_S) + 1].max(initial=0.0))


def draw(
    piece: Piece, curve: npt.NDArray[np.float64], flux: npt.NDArray[np.float64], target: Path
) -> None:
    """Loudness with its band of tolerance and what was intended; below it the flux."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 6), layout="constrained")
    loud, change = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    loud.axhspan(-TOLERANCE_LU, TOLERANCE_LU, color="#e8efe8")
    duration_s = piece.samples.shape[1] / piece.rate_hz
    loud.axvline(min(REFERENCE_S, duration_s), color="#999999", linewidth=1, linestyle="--")
    loud.plot(SHORT_TERM_S / 2 + STEP_S * np.arange(curve.size), curve, color="#1f5a7a")
    low = min(-12.0, float(np.percentile(curve, 1)) - 1)
    loud.set(ylabel="LU against the first 30 s", ylim=(low, max(8.0, float(curve.max()) + 1)))
    loud.set_title(str(piece.facts.get("prompt", piece.facts.get("file")))[:110], loc="left")
    if piece.levels is not None:
        plan = loud.twinx()
        plan.plot(np.arange(piece.levels.size) / 50, piece.levels, color="#8a3b12", linewidth=0.8)
        plan.set(ylim=(-6, 3.2), yticks=[0, 1, 2, 3], ylabel="planned intensity")
    change.plot(HOP_S * np.arange(flux.size), flux, color="#555555", linewidth=0.4)
    for at_s in piece.seams_s:
        change.axvline(at_s, color="#c0392b", linewidth=0.8)
    change.set(ylabel="flux, dB", xlabel="seconds", xlim=(0, duration_s))
    target.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(target, dpi=110, metadata={"Software": None})


def main() -> None:
    """Measures, draws and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=300)
    parser.add_argument("--prompt", default=PROMPT)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--weights", default="epic-mini")
    parser.add_argument("--file", type=Path, help="measure this recording instead")
    parser.add_argument("--seams", type=float, nargs=2, metavar=("FIRST", "STRIDE"))
    parser.add_argument("--picture", type=Path, default=Path("dist/drift.png"))
    parser.add_argument("--save", type=Path, help="keep the piece as a .wav or .flac")
    asked = parser.parse_args()
    if asked.file is not None:
        piece = recorded(asked.file, asked.seams)
    else:
        piece = generated(asked.weights, asked.prompt, asked.seed, asked.seconds)
    if asked.save is not None:
        asked.save.write_bytes(encode(piece.samples, piece.rate_hz, asked.save.suffix[1:]))
    loudness, curve = loudness_drift(piece)
    flux = spectral_flux(piece)
    draw(piece, curve, flux, asked.picture)
    duration_s = round(piece.samples.shape[1] / piece.rate_hz, 2)
    result = piece.facts | {"duration_s": duration_s} | loudness | seam_flux(piece, flux)
    for name, value in (result | {"picture": str(asked.picture)}).items():
        print(f"{name.replace('_', ' '):<36}{value}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
