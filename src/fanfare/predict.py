"""The hall that every caller goes through: Inputs in, events out, a finished piece last.

B batch, C channels, N samples, K codebooks, T frames, P frames of an excerpt.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fanfare.audio.io import Recording, Samples, read_audio
from fanfare.audio.loudness import normalize
from fanfare.audio.resample import resample, to_channels
from fanfare.engine.job import Job, Progress, Result
from fanfare.engine.torch_engine import generate
from fanfare.errors import AudioFileError, InputError
from fanfare.inputs import Inputs
from fanfare.nn.sampling import SamplingSettings
from fanfare.piece import Audio
from fanfare.settings import Settings
from fanfare.weights.bundle import Bundle

__all__ = ["Event", "Finished", "Progress", "Started", "predict"]

MIN_EXCERPT_S = 0.1
MIN_TEMPERATURE = 1e-4
"""Below this the likeliest token always wins, and dividing by it could overflow."""
FOLLOW_MELODIES = "epic-mini, facebook/musicgen-melody or facebook/musicgen-stereo-melody"


@dataclass(frozen=True)
class Started:
    """All requests are understood and generation begins: the seed of each, as it is used."""

    seeds: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Finished:
    """The piece of request number `index` is done."""

    index: int
    audio: Audio


Event = Started | Progress | Finished


def predict(
    bundle: Bundle,
    requests: Sequence[Inputs],
    settings: Settings,
    cancelled: Sequence[threading.Event] | None = None,
) -> Iterator[Event]:
    """Generate all requests as one batch; the pieces don't depend on each other.

    Yields `Started`, `Progress` after every step, and one `Finished` for each request whose
    event in `cancelled` isn't set. InputError, before anything is generated, names what a
    request asks in vain of this model.
    """
    flags = cancelled or [threading.Event() for _ in requests]
    assert len(flags) == len(requests), (len(flags), len(requests))
    for request in requests:
        _check_model(bundle, request)
    seeds = tuple(_seed(request) for request in requests)
    jobs = [
        _job(bundle, request, seed, _excerpt(bundle, request, settings), flag)
        for request, seed, flag in zip(requests, seeds, flags, strict=True)
    ]
    yield Started(seeds)
    codes: list[Tensor | None] = []
    for event in generate(bundle.lm, jobs):
        if isinstance(event, Result):
            codes = event.codes
        else:
            yield event
    for index, (request, seed, made) in enumerate(zip(requests, seeds, codes, strict=True)):
        if made is not None:
            yield Finished(index, _piece(bundle, request, seed, made))


def _check_model(bundle: Bundle, request: Inputs) -> None:
    """Refuse what this model can't do."""
    config = bundle.lm.config
    if request.multi_band_diffusion:
        hint = f"{bundle.name} came without diffusion weights: leave it out"
        raise InputError("multi_band_diffusion", True, hint)
    follows = config.n_chroma is not None or config.plan_features is not None
    if request.input_audio is not None and not request.continuation and not follows:
        hint = f"{bundle.name} can't follow a melody: set continuation, or use {FOLLOW_MELODIES}"
        raise InputError("input_audio", request.input_audio, hint)
    if config.positions == "sin" and request.duration > config.max_duration_s:
        raise InputError(
            "duration",
            request.duration,
            f"{bundle.name} makes at most {config.max_duration_s:g} s at a time",
        )


def _seed(request: Inputs) -> int:
    """The request's seed, or a random one of 31 bits."""
    if request.seed is None or request.seed < 0:
        return secrets.randbelow(2**31)
    return request.seed


def _excerpt(bundle: Bundle, request: Inputs, settings: Settings) -> Samples | None:
    """The part of input_audio to use, at the model's rate and channels: [C, N]."""
    if request.input_audio is None:
        return None
    start_s, end_s = request.continuation_start, request.clip_end_s
    recording = read_audio(
        request.input_audio,
        stop_s=end_s,
        max_s=settings.max_audio_s,
        max_bytes=settings.max_audio_bytes,
    )
    if start_s >= recording.duration_s:
        hint = f"lies beyond input_audio, which lasts {recording.duration_s:.2f} s"
        raise InputError("continuation_start", start_s, hint)
    rate_hz = recording.sample_rate_hz
    cut = recording.samples[:, rate_hz * start_s :]
    if cut.shape[1] < MIN_EXCERPT_S * rate_hz:
        hint = f"leaves less than {MIN_EXCERPT_S} s to work with: give a longer recording"
        raise AudioFileError("input_audio", request.input_audio, hint)
    codec = bundle.codec
    return to_channels(resample(cut, rate_hz, codec.sample_rate_hz), codec.channels)


def _job(
    bundle: Bundle, request: Inputs, seed: int, excerpt: Samples | None, flag: threading.Event
) -> Job:
    """The request as the engine sees it."""
    config, prompt = bundle.lm.config, None
    n_frames = request.duration * config.frame_rate_hz
    if request.continuation and excerpt is not None:
        prompt = _encode(bundle, excerpt)  # [K, P]
        n_frames += prompt.shape[1]
        if config.positions == "sin" and n_frames > config.max_duration_s * config.frame_rate_hz:
            excerpt_s = prompt.shape[1] / config.frame_rate_hz
            most_s = int(config.max_duration_s - excerpt_s)
            hint = (
                f"with the {excerpt_s:g} s of the excerpt this passes the {bundle.name} limit of "
                f"{config.max_duration_s:g} s: ask for at most {most_s} s, or cut the excerpt"
            )
            raise InputError("duration", request.duration, hint)
    follows_chroma = excerpt is not None and not request.continuation and config.n_chroma
    with torch.inference_mode():
        conditions, null = bundle.conditions(
            request.prompt,
            torch.from_numpy(excerpt) if follows_chroma else None,
            _plan(bundle, request, seed, excerpt, n_frames),
        )
    temperature = request.temperature if request.temperature >= MIN_TEMPERATURE else 0.0
    sampling = SamplingSettings(
        top_k=request.top_k,
        top_p=request.top_p,
        temperature=temperature,
        guidance=float(request.classifier_free_guidance),
    )
    return Job(n_frames, conditions, null, sampling, seed, prompt, flag)


def _plan(
    bundle: Bundle, request: Inputs, seed: int, excerpt: Samples | None, n_frames: int
) -> Tensor | None:
    """The plan [T, F] for a model that takes one; an excerpt is its melody or its beginning."""
    if bundle.lm.config.plan_features is None:
        return None
    from fanfare.epic.director import direct  # type: ignore[import-untyped,unused-ignore]

    heard = None if excerpt is None else Recording(excerpt, bundle.codec.sample_rate_hz)
    plan = direct(
        request.prompt or "",
        n_frames=n_frames,
        seed=seed,
        melody=None if request.continuation else heard,
        excerpt=heard if request.continuation else None,
    )
    return torch.from_numpy(plan)


def _encode(bundle: Bundle, wav: Samples) -> Tensor:
    """Codes [K, P] of a recording [C, N]."""
    weight = next(bundle.codec.parameters())
    batch = torch.from_numpy(wav)[None].to(weight.device, weight.dtype)  # [1, C, N]
    return bundle.codec.encode(batch)[0].cpu()


def _piece(bundle: Bundle, request: Inputs, seed: int, codes: Tensor) -> Audio:
    """Codes [K, T] as a levelled piece."""
    device = next(bundle.codec.parameters()).device
    wav = bundle.codec.decode(codes[None].to(device))[0]  # [C, N]
    samples: Samples = wav.float().cpu().numpy()
    rate_hz = bundle.codec.sample_rate_hz
    levelled = normalize(samples, rate_hz, request.normalization_strategy)
    kept: npt.NDArray[np.int64] = codes.cpu().numpy()
    return Audio(levelled, rate_hz, kept, seed, request, bundle.name)
