"""Whether a model loads, holds numbers, and makes sound."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from fanfare.weights.bundle import Bundle
from fanfare.weights.fetch import RECORD, read_record
from fanfare.weights.hub import hub_id_of
from fanfare.weights.tensors import not_finite

N_STEPS = 8
N_FRAMES = 50


@dataclass(frozen=True)
class Hashed:
    """A file and its SHA-256; `is_right` is None where nothing was recorded to compare it with."""

    name: str
    sha256: str
    is_right: bool | None


@dataclass(frozen=True)
class Verdict:
    """What a trial found.

    Attributes:
        n_parameters: by part.
        run_s: how long a few steps and a second of sound took.
        problems: what is wrong; empty = nothing.
    """

    n_parameters: dict[str, int]
    run_s: float
    problems: tuple[str, ...]


@torch.inference_mode()
def try_out(bundle: Bundle) -> Verdict:
    """Look at every weight, then run a few steps and decode a second of random codes."""
    parts = _modules(bundle)
    problems = [
        f"{part}: {name} isn't finite" for part, m in parts.items() for name in not_finite(m)
    ]
    began_s = time.perf_counter()
    config = bundle.config
    generator = torch.Generator().manual_seed(0)
    shape = (1, config.n_codebooks, N_STEPS)
    tokens = torch.randint(config.card, shape, generator=generator).to(bundle.lm.device)
    conditions, _ = bundle.conditions("epic brass" if bundle.text else None)
    cross, prefix, frames = conditions.cross, conditions.prefix, conditions.frames
    logits = bundle.lm(
        tokens,
        cross=None if cross is None else cross[None],
        prefix=None if prefix is None else prefix[None],
        frames=None if frames is None else frames[:1].expand(N_STEPS, -1)[None],
    )
    if not bool(logits.isfinite().all()):
        problems.append("language model: its logits aren't finite")
    codes = torch.randint(config.card, (1, config.n_codebooks, N_FRAMES), generator=generator)
    wav = bundle.codec.decode(codes)  # [1, C, N]
    if not bool(wav.isfinite().all()):
        problems.append("codec: its sound isn't finite")
    counts = {part: sum(p.numel() for p in module.parameters()) for part, module in parts.items()}
    return Verdict(counts, time.perf_counter() - began_s, tuple(problems))


def _modules(bundle: Bundle) -> dict[str, nn.Module]:
    found = {
        "language model": bundle.lm,
        "codec": bundle.codec.model,
        "text encoder": None if bundle.text is None else bundle.text.model,
        "diffusion": bundle.diffusion,
    }
    return {part: module for part, module in found.items() if module is not None}


def hashes(path: Path) -> Iterator[Hashed]:
    """The SHA-256 of every file of a checkpoint, compared with what its cache knows."""
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.is_file())
    for file in files:
        name = file.name if file == path else file.relative_to(path).as_posix()
        sha256 = _digest(file, "sha256")
        yield Hashed(name, sha256, _is_right(file, sha256))


def _is_right(file: Path, sha256: str) -> bool | None:
    record = read_record(file.parent) if (file.parent / RECORD).is_file() else None
    if record is not None and record.file == file.name:
        return record.sha256 == sha256
    if hub_id_of(file) is None:
        return None
    # The hub's cache names large files by their SHA-256, small ones by their hash in git.
    expected = file.resolve().name
    if len(expected) == 64:
        return expected == sha256
    data = file.read_bytes()
    return expected == hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _digest(file: Path, name: str) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, name).hexdigest()
