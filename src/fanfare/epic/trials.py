"""What an evaluation tries beside prompts: continuations, melodies, long pieces, memory.

N samples of mono audio at 32 kHz, T frames (50/s), K codebooks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fanfare.epic import listen, measure
from fanfare.epic.attributes import Attributes
from fanfare.epic.handwritten import HANDWRITTEN
from fanfare.epic.losses import SpectralLoss
from fanfare.epic.understand import understand
from fanfare.model import Model
from fanfare.piece import Audio

FloatArray = NDArray[np.float32]
EXCERPT_S, SEAM_FRAMES, GRAM = 4, 3, 12
HEARD = 0.95


def log_mel_l1(made: FloatArray, real: FloatArray) -> float:
    """Mean distance of log mel spectra (window 2048), as the codec's training reports it."""
    loss = SpectralLoss()
    with torch.inference_mode():
        _, log_mel = loss(torch.from_numpy(made)[None], torch.from_numpy(real)[None])
    return float(log_mel)


def understood_by_hand() -> tuple[int, int]:
    """How many of the handwritten prompts' labels are understood, of how many."""
    right = total = 0
    for prompt, wanted in HANDWRITTEN:
        got = understand(prompt)
        for name, value in wanted.items():
            total += 1
            right += _agrees(got, name, value)
    return right, total


def _agrees(got: Attributes, name: str, value: Any) -> bool:
    found = getattr(got, name)
    if name == "instruments":
        return set(value) <= set(found)
    if name == "bpm":
        return found is not None and abs(found / value - 1) < 0.01
    return bool(found == value)


def flux(wav: FloatArray) -> FloatArray:
    """How much the spectrum changes from frame to frame, [T]."""
    magnitude = np.sqrt(listen.spectrum(wav, listen.SHORT_WINDOW))
    rows = magnitude / np.maximum(magnitude.mean(), 1e-9)
    changes = np.abs(np.diff(rows, axis=0)).mean(axis=1)
    return np.asarray(np.r_[0, changes], np.float32)


def seam(wav: FloatArray, joint: int) -> float:
    """Share of a piece's frames whose flux is below that at the joint, 0..1.

    Above HEARD it may be heard, as any beginning may.
    """
    changes = flux(wav)
    there = changes[joint - SEAM_FRAMES : joint + SEAM_FRAMES + 1].max()
    windows = np.lib.stride_tricks.sliding_window_view(changes, 2 * SEAM_FRAMES + 1).max(axis=1)
    return float((windows < there).mean())


def melody_agreement(wav: FloatArray, melody: FloatArray) -> float:
    """Mean cosine between what stands out in the chroma of two recordings, frame by frame."""
    a, b = listen.chroma(wav), listen.chroma(melody)
    n = min(len(a), len(b))
    a, b = (x[:n] - x[:n].mean(axis=1, keepdims=True) for x in (a, b))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    heard = norms > 1e-6
    return float(((a * b).sum(axis=1)[heard] / norms[heard]).mean()) if heard.any() else 0.0


def continuations(
    model: Model, prompts: Sequence[str], sounds: Sequence[FloatArray]
) -> list[float]:
    """The seam of every sound's first seconds carried on by the model."""
    joints = []
    with tempfile.TemporaryDirectory() as folder:
        for i, (prompt, sound) in enumerate(zip(prompts, sounds, strict=True)):
            path = _kept(sound[: EXCERPT_S * listen.SAMPLE_RATE_HZ], Path(folder) / f"{i}.wav")
            made = model.generate(
                prompt=prompt, input_audio=path, continuation=True, duration=EXCERPT_S, seed=i
            )
            joints.append(seam(made.samples[0], EXCERPT_S * 50))
    return joints


def melodies(
    model: Model, prompts: Sequence[str], tunes: Sequence[FloatArray]
) -> tuple[list[float], list[float]]:
    """Agreement of pieces made after tunes with these, and with another one's tune."""
    own, other = [], []
    with tempfile.TemporaryDirectory() as folder:
        for i, (prompt, tune) in enumerate(zip(prompts, tunes, strict=True)):
            path = _kept(tune, Path(folder) / f"{i}.wav")
            seconds = len(tune) // listen.SAMPLE_RATE_HZ
            made = model.generate(prompt=prompt, input_audio=path, duration=seconds, seed=i)
            own.append(melody_agreement(made.samples[0], tune))
            other.append(melody_agreement(made.samples[0], tunes[i - 1]))
    return own, other


def _kept(wav: FloatArray, path: Path) -> Path:
    import soundfile

    soundfile.write(path, wav, listen.SAMPLE_RATE_HZ)
    return path


def drift_db(wav: FloatArray) -> float:
    """How much louder the last third of a piece is than its first, in dB."""
    third = len(wav) // 3
    first, last = (float((part**2).mean()) + 1e-9 for part in (wav[:third], wav[-third:]))
    return float(10 * np.log10(last / first))


def long_pieces(model: Model, prompts: Sequence[str], seconds: int = 60) -> dict[str, float]:
    """Drift of long pieces in level and in colour, and faults in them."""
    made = [
        model.generate(prompt=prompt, duration=seconds, seed=i) for i, prompt in enumerate(prompts)
    ]
    third = seconds * listen.SAMPLE_RATE_HZ // 3
    first, last = (
        [measure.colour_rows(audio.samples[0][part]) for audio in made]
        for part in (slice(0, third), slice(-third, None))
    )
    return {
        "long: level drift dB": float(np.mean([abs(drift_db(a.samples[0])) for a in made])),
        "long: frechet last third to first": measure.frechet(last, first),
        "long: faults": float(sum(len(faults_of(audio)) for audio in made)),
    }


def faults_of(audio: Audio) -> list[str]:
    """What is plainly wrong with a finished piece."""
    return measure.faults(audio.samples[0], audio.codes)


def known_share(codes: NDArray[np.int64], known: set[bytes]) -> float:
    """Share of a piece's runs of 12 frames, first book, that the known pieces hold too."""
    grams = runs_of(codes)
    return sum(gram in known for gram in grams) / max(len(grams), 1)


def runs_of(codes: NDArray[np.int64]) -> list[bytes]:
    """All runs of 12 codes of the first book, [K, T] → T - 11 keys."""
    row = np.ascontiguousarray(codes[0].astype(np.int16))
    return [row[i : i + GRAM].tobytes() for i in range(len(row) - GRAM + 1)]


def memory(
    made: Sequence[NDArray[np.int64]],
    heldout: Sequence[NDArray[np.int64]],
    training: Sequence[NDArray[np.int64]],
) -> dict[str, float]:
    """How much of generated pieces is found in training pieces, beside pieces that can't be."""
    known = {gram for codes in training for gram in runs_of(codes)}
    return {
        "memory: generated": float(np.mean([known_share(codes, known) for codes in made])),
        "memory: held out": float(np.mean([known_share(codes, known) for codes in heldout])),
    }


def encoded(model: Model, wavs: Sequence[FloatArray]) -> list[NDArray[np.int64]]:
    """Codes [K, T] of audio."""
    codec = model.bundle.codec
    with torch.inference_mode():
        return [codec.encode(torch.from_numpy(wav)[None, None])[0].numpy() for wav in wavs]


def diffusion_gain(model: Model, wavs: Sequence[FloatArray]) -> float:
    """By what share diffusion lowers the distance to originals that the codec's decoder leaves.

    Raises:
        ValueError: the model has no diffusion weights.
    """
    bands, codec = model.bundle.diffusion, model.bundle.codec
    if bands is None:
        raise ValueError(f"{model.name} has no diffusion weights")
    plain, better = 0.0, 0.0
    with torch.inference_mode():
        for i, wav in enumerate(wavs):
            codes = codec.encode(torch.from_numpy(wav)[None, None])
            decoded = codec.decode(codes)[0]
            latent = codec.model.quantizer.decode(codes.transpose(0, 1))
            made = bands.decode(latent, decoded, torch.Generator().manual_seed(i))
            plain += log_mel_l1(decoded[0].numpy(), wav)
            better += log_mel_l1(made[0].numpy(), wav)
    return 1 - better / plain


def trials(
    model: Model, prompts: Sequence[str], sounds: Sequence[FloatArray], long: Sequence[str]
) -> dict[str, Any]:
    """Everything but memory, as named figures."""
    tunes = [sound[: 6 * listen.SAMPLE_RATE_HZ] for sound in sounds]
    own, other = melodies(model, prompts, tunes)
    joints = continuations(model, prompts, sounds)
    right, total = understood_by_hand()
    figures: dict[str, Any] = {
        "handwritten prompts understood": right / total,
        "continuations: joint's place among fluxes": float(np.mean(joints)),
        "continuations: joints under the 95th percentile": float(
            np.mean(np.array(joints) <= HEARD)
        ),
        "melody: agreement": float(np.mean(own)),
        "melody: with another": float(np.mean(other)),
        **long_pieces(model, long),
    }
    if model.bundle.diffusion is not None:
        figures["diffusion: distance lowered by"] = diffusion_gain(model, sounds[:4])
    return figures
