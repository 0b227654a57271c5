"""The hall that every caller goes through: Inputs in, events out, a finished piece last.

C channels, N samples, K codebooks, T frames.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fanfare.audio.io import Samples
from fanfare.audio.loudness import normalize
from fanfare.chunks import Chunk, ChunkMaker
from fanfare.engine.engine import Engine
from fanfare.engine.job import Frames, Progress, Result
from fanfare.engine.memory import give_back
from fanfare.inputs import Inputs
from fanfare.nn.codec import MEMORY_FRAMES
from fanfare.piece import Audio
from fanfare.prepare import Prepared, prepare
from fanfare.settings import Settings
from fanfare.weights.bundle import Bundle

__all__ = ["Chunk", "Event", "Finished", "Progress", "Started", "predict"]


@dataclass(frozen=True)
class Started:
    """All requests are understood and generation begins.

    Attributes:
        seeds: of each request, as it is used.
        notices: sentences for whoever asked: what is done otherwise than might be expected; they
            are logged, too.
    """

    seeds: tuple[int, ...]
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Finished:
    """The piece of request number `index` is done."""

    index: int
    audio: Audio


Event = Started | Progress | Chunk | Finished


def predict(
    bundle: Bundle,
    engine: Engine,
    requests: Sequence[Inputs],
    settings: Settings,
    cancelled: Sequence[threading.Event] | None = None,
    chunk_s: float | None = None,
) -> Generator[Event, None, None]:
    """Generate all requests as one batch; the pieces don't depend on each other.

    Yields `Started`, `Progress` after every step (of diffusion, too), and one `Finished` for each
    request whose event in `cancelled` isn't set; with `chunk_s`, a `Chunk` as soon as there are so
    many seconds to hear. InputError, before anything is generated, names what a request asks in
    vain of this model.
    """
    prepared, notices = prepare(bundle, requests, settings, cancelled, chunk_s)
    yield Started(tuple(p.seed for p in prepared), notices)
    codes: list[Tensor | None] = []
    to_diffuse = sum(p.n_diffusion_steps for p in prepared)
    done = n_steps = to_diffuse
    makers = [chunk_maker(bundle, i, p) for i, p in enumerate(prepared)]
    for event in engine.run([p.job for p in prepared]):
        if isinstance(event, Result):
            codes = event.codes
        elif isinstance(event, Frames):
            chunk = makers[event.index].take(event.codes)
            if chunk is not None:
                yield chunk
        elif isinstance(event, Progress):
            done, n_steps = event.step, event.n_steps + to_diffuse
            yield Progress(done, n_steps)
    for index, (one, made) in enumerate(zip(prepared, codes, strict=True)):
        if made is None:
            continue
        diffused = 0
        for audio in finishing(bundle, one, made):
            if audio is not None:
                yield Finished(index, audio)
            else:
                diffused += 1
                yield Progress(done + diffused, n_steps)
        done += one.n_diffusion_steps


def chunk_maker(bundle: Bundle, index: int, prepared: Prepared) -> ChunkMaker:
    """What turns the frames of a request into chunks that bear its `index`."""
    strategy = prepared.request.normalization_strategy
    return ChunkMaker(index, bundle.codec, prepared.job.n_frames, prepared.seed, strategy)


def finishing(
    bundle: Bundle, prepared: Prepared, codes: Tensor
) -> Generator[Audio | None, None, None]:
    """Codes [K, T] to a piece: None after each step of diffusion, if there is any, and the piece.

    It ends without a piece where the job's flag is set meanwhile.
    """
    batch = codes[None].to(bundle.codec.device)
    decoded = bundle.codec.decode(batch)[0]  # [C, N]
    if codes.shape[1] > MEMORY_FRAMES:
        give_back()  # what decoding needed, before levels need as much
    wav: Tensor | None = decoded
    if prepared.n_diffusion_steps:
        assert bundle.diffusion is not None
        # On the CPU, so that a seed sounds the same wherever the model runs.
        generator = torch.Generator().manual_seed(prepared.seed)
        steps = bundle.diffusion.decoding(bundle.codec.latent(batch), decoded, generator)
        wav = None
        for made in steps:
            if prepared.job.cancelled.is_set():
                return
            wav = made
            if made is None:
                yield None
    assert wav is not None, "diffusion ended without audio"
    yield _piece(bundle, prepared, codes, wav)


def _piece(bundle: Bundle, prepared: Prepared, codes: Tensor, wav: Tensor) -> Audio:
    """Codes [K, T] and what they were decoded to, [C, N], as a levelled piece."""
    samples: Samples = wav.float().cpu().numpy()
    request, rate_hz = prepared.request, bundle.codec.sample_rate_hz
    levelled = normalize(samples, rate_hz, request.normalization_strategy)
    kept: npt.NDArray[np.int64] = codes.cpu().numpy()
    return Audio(levelled, rate_hz, kept, prepared.seed, request, bundle.name)
