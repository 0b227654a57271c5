"""Pool: rendered pieces in memory, and where they come from.

On a CPU all pieces are rendered before training starts, by as many processes as there are cores;
a command that goes on with a training finds them where the first one left them.
With a GPU, processes compose all the time; what they have composed is played on the GPU between two
training steps, and takes the place of the oldest pieces.
S slots, N samples, T frames, K codebooks, F plan features.
"""

from __future__ import annotations

import queue
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fanfare.epic.bank import Bank, Region
from fanfare.epic.corpus import piece
from fanfare.epic.layout import LAYOUT_2, Layout
from fanfare.epic.listen import HOP
from fanfare.epic.plan import plan_of
from fanfare.epic.player import Player, open_bank
from fanfare.epic.score import Score
from fanfare.epic.voices import Voices, voices

TOGETHER = 16
"""Pieces that a GPU plays at once."""
NOTE = "rendered.txt"
"""Says which pieces a folder holds."""
Encode = Callable[[Tensor], Tensor]
"""Audio [B, N] to codes [B, K, T]."""


@dataclass(frozen=True)
class Size:
    """How large a pool is: slots, and frames of a piece."""

    slots: int
    n_frames: int
    n_codebooks: int


class Pool:
    """Pieces on a device: `wavs` int16 [S, N] or none, `plans` float16 [S, T, F], codes [S, K, T].

    A context manager; of the slots, the first `n_filled` hold pieces.
    """

    def __init__(
        self, size: Size, bank: Path, *, device: torch.device, workers: int, seed: int = 0,
        keep_wavs: bool = True, streams: bool | None = None, layout: Layout = LAYOUT_2,
        kept_in: Path | None = None,
    ) -> None:  # fmt: skip
        """`kept_in`: where pieces that were rendered apart outlive the pool."""
        self.size, self.device, self.layout = size, device, layout
        self.streams = device.type != "cpu" if streams is None else streams
        self.n_filled = self.n_made = 0
        kept_in = None if self.streams else kept_in
        self._is_kept = kept_in is not None
        self._folder = kept_in or Path(tempfile.mkdtemp(prefix="epic-pool-"))
        self._folder.mkdir(parents=True, exist_ok=True)
        self._seed, self._workers, self._bank = seed, workers, bank
        self._encode: Encode | None = None
        S, T = size.slots, size.n_frames
        self.wavs = self._new("wavs", (S if keep_wavs else 0, T * HOP), np.int16)
        self.plans = self._new("plans", (S, T, layout.n_features), np.float16)
        self.codes = self._new("codes", (S, size.n_codebooks, T), np.int16)
        self._player: Player | None = None
        self._band: _Composers | None = None

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        if self._band is not None:
            self._band.stop()
        if not self._is_kept:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _new(self, name: str, shape: tuple[int, ...], dtype: Any) -> Tensor:
        """Room for all slots: on the device, or in a file that other processes open too."""
        if self.device.type != "cpu":
            return torch.zeros(
                shape, dtype=getattr(torch, np.dtype(dtype).name), device=self.device
            )
        if 0 in shape:
            return torch.zeros(shape, dtype=getattr(torch, np.dtype(dtype).name))
        path = self.path(name)
        if not (self._is_kept and path.exists() and tuple(opened(path).shape) == shape):
            np.lib.format.open_memmap(path, "w+", dtype, shape).flush()
        return opened(path)

    def path(self, name: str) -> Path:
        """Where another process finds `wavs`, `plans` or `codes` on a CPU."""
        return self._folder / f"{name}.npy"

    def encode_with(self, encode: Encode) -> None:
        """From now on every piece is turned into codes; those that are here are at once."""
        self._encode = encode
        for first in range(0, self.n_filled, TOGETHER):
            last = min(first + TOGETHER, self.n_filled)
            if len(self.wavs):
                self.codes[first:last] = encode(floats(self.wavs[first:last])).to(torch.int16)

    def fill(self, n: int | None = None) -> None:
        """Waits until `n` slots hold pieces, or all."""
        n = min(n or self.size.slots, self.size.slots)
        if not self.streams:
            self._render_apart(n)
            return
        while self.n_filled < n:
            self._take(wait=True)

    def refresh(self, at_most: int = 1) -> None:
        """Plays what has been composed meanwhile, so many batches; does nothing on a CPU."""
        for _ in range(at_most):
            if not self.streams or not self._take(wait=False):
                return

    def _render_apart(self, n: int) -> None:
        if not self._has_rendered(n):
            self._render(n)
        self.n_filled = self.n_made = n
        if self._encode is not None:
            self.encode_with(self._encode)

    def _has_rendered(self, n: int) -> bool:
        """Whether a pool before this one has left the same pieces here."""
        note = self._folder / NOTE
        return self._is_kept and note.exists() and note.read_text() == self._note(n)

    def _note(self, n: int) -> str:
        return f"{n} pieces of {self.size.n_frames} frames from seed {self._seed}"

    def _render(self, n: int) -> None:
        edges = [n * i // self._workers for i in range(self._workers + 1)]
        context = get_context("spawn")
        jobs = [
            context.Process(
                target=_render_into,
                args=(self._folder, self._bank, self._seed, first, last, self.layout),
            )
            for first, last in pairwise(edges)
        ]
        for job in jobs:
            job.start()
        for job in jobs:
            job.join()
            if job.exitcode:
                raise RuntimeError(f"a process that renders pieces ended with {job.exitcode}")
        (self._folder / NOTE).write_text(self._note(n))

    def _take(self, *, wait: bool) -> bool:
        """A batch of composed pieces, played and put in place; whether there was one."""
        if self._player is None or self._band is None:
            bank = open_bank(self._bank)
            self._player = Player(bank, self.device)
            self._band = _Composers(
                bank.sounds, self._seed, self.size.n_frames, self._workers, self.layout
            )
        batch = self._band.batch(wait=wait)
        if not batch:
            return False
        wavs = self._player.play([one for one, _ in batch])  # [P, N]
        plans = torch.from_numpy(np.stack([plan for _, plan in batch])).to(self.device)
        slots = (self.n_made + torch.arange(len(batch), device=self.device)) % self.size.slots
        self.plans[slots] = plans
        if len(self.wavs):
            self.wavs[slots] = (wavs * 32767).round().to(torch.int16)
        if self._encode is not None:
            self.codes[slots] = self._encode(wavs).to(torch.int16)
        self.n_made += len(batch)
        self.n_filled = min(self.n_made, self.size.slots)
        return True


def floats(wavs: Tensor) -> Tensor:
    """int16 audio as float32 in ±1."""
    return wavs.float() / 32767


def opened(path: Path) -> Tensor:
    """The array in a file, mapped: what one process writes, others see."""
    return torch.from_numpy(np.lib.format.open_memmap(path, mode="r+"))


class _Composers:
    """Processes that compose pieces, each with seeds of its own, as long as they are wanted."""

    def __init__(
        self, sounds: dict[str, tuple[Region, ...]] | Any, seed: int, n_frames: int, workers: int,
        layout: Layout,
    ) -> None:  # fmt: skip
        context = get_context("spawn")
        self._made: Any = context.Queue(maxsize=4 * TOGETHER)
        self._jobs = [
            context.Process(
                target=_compose_for, daemon=True,
                args=(self._made, dict(sounds), seed + i, workers, n_frames, layout),
            )
            for i in range(workers)
        ]  # fmt: skip
        for job in self._jobs:
            job.start()

    def batch(self, *, wait: bool) -> list[tuple[Voices, NDArray[np.float16]]]:
        """As many pieces as are played together, if there are that many (or `wait`); else none."""
        if not wait and self._made.qsize() < TOGETHER:
            return []
        return [self._next() for _ in range(TOGETHER)]

    def _next(self) -> tuple[Voices, NDArray[np.float16]]:
        while True:
            try:
                made: tuple[Voices, NDArray[np.float16]] = self._made.get(timeout=20)
                return made
            except queue.Empty:
                if not all(job.is_alive() for job in self._jobs):
                    raise RuntimeError("a process that composes pieces has died") from None

    def stop(self) -> None:
        """Ends the processes."""
        for job in self._jobs:
            job.terminate()
        for job in self._jobs:
            job.join()


def _pieces(first: int, step: int, n_frames: int) -> Iterator[tuple[int, Score]]:
    seed = first
    while True:
        yield seed, piece(seed, n_frames)
        seed += step


def _compose_for(
    made: Any, sounds: dict[str, tuple[Region, ...]], first: int, step: int, n_frames: int,
    layout: Layout,
) -> None:  # fmt: skip
    """One composing process: voices and plans, without the bank's samples."""
    table = Bank(np.zeros(0, np.float32), sounds)
    for _, score in _pieces(first, step, n_frames):
        made.put((voices(score, table), plan_of(score, layout).astype(np.float16)))


def _render_into(
    folder: Path, bank: Path, seed: int, first: int, last: int, layout: Layout
) -> None:
    """One rendering process: fills the slots first … last-1."""
    torch.set_num_threads(1)
    player = Player(open_bank(bank))
    wavs, plans = opened(folder / "wavs.npy"), opened(folder / "plans.npy")
    for slot in range(first, last):
        score = piece(seed + slot, plans.shape[1])
        wavs[slot] = torch.from_numpy(player.render(score) * 32767).round().to(torch.int16)
        plans[slot] = torch.from_numpy(plan_of(score, layout).astype(np.float16))
