"""prepare: requests as an engine sees them, whatever they were asked with.

B batch, C channels, N samples, K codebooks, T frames, P frames of an excerpt.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fanfare.audio.io import Samples, read_audio
from fanfare.audio.resample import resample, to_channels
from fanfare.chunks import frames_per_chunk
from fanfare.engine.job import Job
from fanfare.engine.windows import max_window_frames, plan_windows
from fanfare.errors import AudioFileError, CheckpointError, InputError, MissingExtraError
from fanfare.inputs import Inputs
from fanfare.nn.conditioning import Conditions
from fanfare.nn.melody import HOP as CHROMA_HOP
from fanfare.nn.resample import has_simple_ratio, resample_frac
from fanfare.nn.sampling import SamplingSettings
from fanfare.nn.separation import Separator, separate
from fanfare.settings import Settings
from fanfare.weights.bundle import Bundle
from fanfare.weights.separator import find_separator, load_separator

log = logging.getLogger(__name__)

MIN_EXCERPT_S = 0.5
WORKING_RMS = 10 ** (-18 / 20)
MIN_TEMPERATURE = 1e-4
"""Below this the likeliest token always wins, and dividing by it could overflow."""
DIRECTOR_RATE_HZ = 32000
MELODY_MARGIN_S = 10
"""Heard of a melody beyond the piece's end: what comes later is not used, and costs as much."""
FOLLOW_MELODIES = "epic-mini, facebook/musicgen-melody or facebook/musicgen-stereo-melody"


@dataclass(frozen=True, eq=False)
class Prepared:
    """A request that is understood.

    Attributes:
        request: as it came.
        seed: that is used.
        job: the same for the engine.
        n_diffusion_steps: that follow the engine's; 0 = none.
    """

    request: Inputs
    seed: int
    job: Job
    n_diffusion_steps: int


def prepare(
    bundle: Bundle,
    requests: Sequence[Inputs],
    settings: Settings,
    cancelled: Sequence[threading.Event] | None = None,
    chunk_s: float | None = None,
) -> tuple[list[Prepared], tuple[str, ...]]:
    """Requests as the engine sees them, and notices: what is done otherwise than expected.

    With `chunk_s`, their frames are to be reported every so many seconds. A flag in `cancelled`
    stops its job. InputError names what a request asks in vain of this model.
    """
    every = None if chunk_s is None else frames_per_chunk(chunk_s, bundle.config.frame_rate_hz)
    flags = cancelled or [threading.Event() for _ in requests]
    assert len(flags) == len(requests), (len(flags), len(requests))
    for request in requests:
        _check_model(bundle, request, is_streamed=chunk_s is not None)
    seeds = [_seed(request) for request in requests]
    excerpts = [_excerpt(bundle, request, settings) for request in requests]
    separator, notices = _separator(bundle, requests, settings)
    for notice in notices:
        log.warning("%s", notice)
    prepared = []
    for request, seed, excerpt, flag in zip(requests, seeds, excerpts, flags, strict=True):
        tune = _tune(bundle, request, seed, excerpt, separator)
        job = _job(bundle, request, seed, tune, flag, every)
        prepared.append(Prepared(request, seed, job, _n_diffusion_steps(bundle, request)))
    return prepared, notices


def _check_model(bundle: Bundle, request: Inputs, *, is_streamed: bool) -> None:
    """Refuse what this model can't do."""
    if request.multi_band_diffusion and is_streamed:
        hint = "diffusion needs the whole piece: leave this out to hear it while it is made"
        raise InputError("multi_band_diffusion", True, hint)
    if request.multi_band_diffusion and bundle.diffusion is None:
        hint = f"{bundle.name} came without diffusion weights: {_diffusion_advice(bundle)}"
        raise InputError("multi_band_diffusion", True, hint)
    follows = bundle.config.n_chroma is not None or bundle.config.plan_features is not None
    composes = bundle.config.plan_features is not None
    for name in ("bpm", "key", "form", "chords"):
        value = getattr(request, name)
        # Chords may stand in for a melody, and then take their tempo along.
        chroma = name in ("bpm", "chords") and request.chords and request.input_audio is None
        if value is None or composes or (chroma and bundle.config.n_chroma is not None):
            continue
        say = "leave it out" if name == "chords" else "say it in the prompt"
        hint = f"{bundle.name} doesn't compose: {say}, or use epic-mini"
        raise InputError(name, value, hint)
    if request.input_audio is not None and not request.continuation and not follows:
        hint = f"{bundle.name} can't follow a melody: set continuation, or use {FOLLOW_MELODIES}"
        raise InputError("input_audio", str(request.input_audio), hint)


def _diffusion_advice(bundle: Bundle) -> str:
    if bundle.config.plan_features is not None:  # published weights are for another codec
        return "leave this out, or use a MusicGen with those that `fanfare models pull mbd` gets"
    return (
        'get them by `fanfare models pull mbd` and load it with diffusion="mbd" (--diffusion mbd),'
        " or leave this out"
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
    if not request.continuation:
        used_s = start_s + request.duration + MELODY_MARGIN_S
        end_s = used_s if end_s is None else min(end_s, used_s)
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
        raise AudioFileError("input_audio", str(request.input_audio), hint)
    return to_channels(_at_model_rate(bundle, cut, rate_hz), bundle.codec.channels)


def _at_model_rate(bundle: Bundle, samples: Samples, rate_hz: int) -> Samples:
    """A recording [C, N] at the rate of the codec.

    Models that were published with a resampler of their own get the codes that it gives.
    """
    to_hz = bundle.codec.sample_rate_hz
    if bundle.config.plan_features is not None or not has_simple_ratio(rate_hz, to_hz):
        return resample(samples, rate_hz, to_hz)
    made: Samples = resample_frac(torch.from_numpy(samples), rate_hz, to_hz).numpy()
    return made


def _separator(
    bundle: Bundle, requests: Sequence[Inputs], settings: Settings
) -> tuple[Separator | None, tuple[str, ...]]:
    """What tells the melody of a recording from the rest, if one is to be followed; notices."""
    follows = any(r.input_audio is not None and not r.continuation for r in requests)
    if not follows or bundle.config.n_chroma is None or settings.melody_separation == "off":
        return None, ()
    try:
        file = find_separator(settings.separator)
    except (MissingExtraError, CheckpointError) as error:
        if settings.melody_separation == "on":
            raise
        hint = "FANFARE_MELODY_SEPARATION=off says that this is meant"
        return None, (f"the melody is taken from the whole recording: {error}; {hint}",)
    return load_separator(file, bundle.lm.device), ()


def _tune(
    bundle: Bundle,
    request: Inputs,
    seed: int,
    excerpt: Samples | None,
    separator: Separator | None,
) -> Samples | None:
    """The excerpt [C, N]; of one to be followed, its tune [1, N].

    The published code separates what each window of a long piece hears; here it is done once.
    """
    if excerpt is None or request.continuation or separator is None:
        return excerpt
    config = bundle.config
    last = plan_windows(config, request.duration * config.frame_rate_hz)[-1]
    stop_s = last.start / config.frame_rate_hz + config.max_duration_s + 1
    wav, rate_hz = torch.from_numpy(excerpt), bundle.codec.sample_rate_hz
    with torch.inference_mode():
        tune: Samples = separate(separator, wav, rate_hz, seed=seed, stop_s=stop_s).numpy()
    return tune


def _job(
    bundle: Bundle,
    request: Inputs,
    seed: int,
    excerpt: Samples | None,
    flag: threading.Event,
    report_every: int | None,
) -> Job:
    """The request as the engine sees it."""
    prompt = None
    n_frames = request.duration * bundle.config.frame_rate_hz
    if request.continuation and excerpt is not None:
        takes_plan = bundle.config.plan_features is not None
        heard = at_working_level(excerpt) if takes_plan else excerpt
        prompt = _encode(bundle, heard)  # [K, P]
        _check_reach(bundle, request, prompt.shape[1])
        n_frames += prompt.shape[1]
    first, *later = _conditions(bundle, request, seed, excerpt, n_frames)
    temperature = request.temperature if request.temperature >= MIN_TEMPERATURE else 0.0
    return Job(
        n_frames,
        *first,
        settings=SamplingSettings(
            top_k=request.top_k,
            top_p=request.top_p,
            temperature=temperature,
            guidance=float(request.classifier_free_guidance),
        ),
        seed=seed,
        prompt=prompt,
        later=tuple(later),
        report_every=report_every,
        cancelled=flag,
    )


def _check_reach(bundle: Bundle, request: Inputs, n_prompt: int) -> None:
    """An excerpt must leave room in the model's view for something new."""
    longest = max_window_frames(bundle.config)
    if longest is not None and n_prompt >= longest:
        frame_rate_hz = bundle.config.frame_rate_hz
        hint = (
            f"the excerpt lasts {n_prompt / frame_rate_hz:g} s, but {bundle.name} can continue "
            f"less than {longest / frame_rate_hz:g} s: start later"
        )
        raise InputError("continuation_start", request.continuation_start, hint)


def _conditions(
    bundle: Bundle, request: Inputs, seed: int, excerpt: Samples | None, n_frames: int
) -> list[tuple[Conditions, Conditions | None]]:
    """Conditions and null of every window in which the piece is made; mostly that is one."""
    config = bundle.config
    windows = plan_windows(config, n_frames)
    melody = None
    if excerpt is not None and not request.continuation and config.n_chroma is not None:
        melody = torch.from_numpy(excerpt)
    plan = _plan(bundle, request, seed, excerpt, n_frames)
    text = request.prompt
    if request.bpm is not None and plan is None:
        text = f"{text or ''}, {request.bpm:g} bpm".removeprefix(", ")
    made = []
    for window in windows:
        part = None if plan is None else plan[window.start : window.start + window.n_frames]
        start_s = window.start / config.frame_rate_hz if len(windows) > 1 else None
        with torch.inference_mode():
            chords = _chord_chroma(bundle, request, start_s or 0.0)
            made.append(bundle.conditions(text, melody, part, start_s, chords))
    return made


def _chord_chroma(bundle: Bundle, request: Inputs, start_s: float) -> Tensor | None:
    """The chords asked for as chroma [M, 12] from `start_s` on, for a model that takes one."""
    if request.chords is None or bundle.config.n_chroma is None:
        return None
    from fanfare.epic.chord_chroma import chroma_of
    from fanfare.epic.control import read_control

    control = read_control(request.bpm, chords=request.chords)
    rate = bundle.config.sample_rate_hz / CHROMA_HOP
    first, n_rows = round(start_s * rate), round(bundle.config.max_duration_s * rate)
    return torch.from_numpy(chroma_of(control, first + n_rows, rate)[first:])


def _plan(
    bundle: Bundle, request: Inputs, seed: int, excerpt: Samples | None, n_frames: int
) -> Tensor | None:
    """The plan [T, F] for a model that takes one; an excerpt is its melody or its beginning."""
    if bundle.config.plan_features is None:
        return None
    from fanfare.epic.control import read_control
    from fanfare.epic.director import direct
    from fanfare.epic.layout import Layout

    heard = None
    if excerpt is not None:
        heard = resample(to_channels(excerpt, 1), bundle.codec.sample_rate_hz, DIRECTOR_RATE_HZ)[0]
    plan = direct(
        request.prompt or "",
        n_frames=n_frames,
        seed=seed,
        melody=None if request.continuation else heard,
        excerpt=heard if request.continuation else None,
        control=read_control(request.bpm, request.key, request.chords, request.form),
        layout=Layout.from_json(bundle.extra.get("plan")),
    )
    return torch.from_numpy(plan)


def at_working_level(wav: Samples) -> Samples:
    """A recording [C, N] at the level of the renders that epic-mini has heard.

    Its loudest second is brought to an RMS of -18 dBFS; the finished piece is levelled as a whole.
    """
    second = DIRECTOR_RATE_HZ
    power = [float((wav[:, i : i + second] ** 2).mean()) for i in range(0, wav.shape[1], second)]
    return np.asarray(wav * (WORKING_RMS / max(max(power) ** 0.5, 1e-4)), np.float32)


def _encode(bundle: Bundle, wav: Samples) -> Tensor:
    """Codes [K, P] of a recording [C, N]."""
    weight = next(bundle.codec.parameters())
    batch = torch.from_numpy(wav)[None].to(weight.device, weight.dtype)  # [1, C, N]
    return bundle.codec.encode(batch)[0].cpu()


def _n_diffusion_steps(bundle: Bundle, request: Inputs) -> int:
    """Steps that diffusion takes to turn the request's codes into sound."""
    if not request.multi_band_diffusion:
        return 0
    assert bundle.diffusion is not None
    return bundle.diffusion.n_steps(bundle.codec.channels)
