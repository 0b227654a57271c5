"""StepState: all that a step of a batch reads and writes, where a CUDA graph finds it.

J jobs, R rows, K codebooks, D width, n steps, N cache slots.

A graph knows addresses, not values. So whatever differs between jobs or steps is kept in tensors
that never move, counters included: a step that is replayed finds its inputs by itself and leaves
behind what the next one needs, and the host has nothing to say to it.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fanfare.engine.noise import BLOCK
from fanfare.engine.stretch import STRETCH
from fanfare.engine.track import FREE
from fanfare.nn.cache import KvCache, MaskedStep
from fanfare.nn.lm import LanguageModel
from fanfare.nn.sampling import BatchSettings, SamplingSettings, draw_each, mix_guidance


class StepState:
    """Inputs and outputs of the steps of at most so many jobs in so many rows.

    Attributes:
        at: number of the next step in its stretch, int64 [1].
        columns: int64 [n, J, K]; cells that are known, and those drawn in place of FREE ones.
        last: the latest column of each job, int64 [J, K].
        cond, null: each job's rows, int64 [J]; where nothing is guided they are the same.
        settings: of each job.
        noise: a block of each job's, [J, n, K, card].
        noise_at: which step of it is next, int64 [J].
        job_of_row: int64 [R].
        lengths: steps in each row's cache, int64 [R].
        text_lengths: int64 [R].
        runs: 1 for rows that are in use, int64 [R].
        is_fresh: rows whose next logits come from their prefill, bool [R].
        first_logits: those, [R, K, card].
        frames: added to inputs, [n, R, D]; None where the model takes no plan.
    """

    def __init__(self, lm: LanguageModel, n_rows: int) -> None:
        config, device = lm.config, lm.device
        K, card = config.n_codebooks, config.card

        def zeros(*shape: int, dtype: torch.dtype = torch.int64) -> Tensor:
            return torch.zeros(*shape, dtype=dtype, device=device)

        J = R = n_rows
        self.lm = lm
        self.at = zeros(1)
        self.columns = zeros(STRETCH, J, K)
        self.last = zeros(J, K)
        self.cond, self.null = zeros(J), zeros(J)
        plain = BatchSettings.of([SamplingSettings()] * J, card)
        self.settings = BatchSettings(*(values.to(device) for values in plain))
        self.noise = torch.ones(J, BLOCK, K, card, device=device)
        self.noise_at = zeros(J)
        self.jobs = torch.arange(J, device=device)
        self.job_of_row = zeros(R)
        self.lengths = zeros(R)
        self.text_lengths = torch.ones(R, dtype=torch.int64, device=device)
        self.runs = zeros(R)
        self.is_fresh = zeros(R, dtype=torch.bool)
        self.first_logits = zeros(R, K, card, dtype=torch.float32)
        self.frames: Tensor | None = None
        if lm.plan is not None:
            self.frames = zeros(STRETCH, R, config.dim, dtype=torch.float32)

    @property
    def n_bytes(self) -> int:
        """Memory that the larger of the buffers take."""
        large = [self.noise, self.first_logits, self.columns, self.frames]
        return sum(buffer.nbytes for buffer in large if buffer is not None)

    def write_settings(self, settings: Sequence[SamplingSettings]) -> None:
        """Those of the first jobs become `settings`."""
        made = BatchSettings.of(settings, self.lm.config.card)
        for buffer, values in zip(self.settings, made, strict=True):
            write(buffer, values)

    def run(self, cache: KvCache, n_jobs: int, n_rows: int, n_slots: int) -> None:
        """One step of the first jobs in the first rows, over the first slots of `cache`.

        Rows that aren't in use are computed, too, and so are fresh ones: they write to their next
        slot, where whatever they do take in will be written again.
        """
        J, R, at = n_jobs, n_rows, self.at
        x = self.lm.embed(self.last[:J, :, None], None, None)  # [J, 1, D]
        x = x.index_select(0, self.job_of_row[:R])  # [R, 1, D]
        if self.frames is not None:
            x = x + self.frames[:, :R].index_select(0, at)[0, :, None]
        memory = MaskedStep(cache, self.lengths[:R], self.text_lengths[:R], n_slots)
        logits = self.lm.read_out(self.lm.extend(x, memory))[:, :, 0]  # [R, K, card]
        is_fresh = self.is_fresh[:R]
        logits = torch.where(is_fresh[:, None, None], self.first_logits[:R], logits)
        settings = self.settings.first(J)
        null = logits.index_select(0, self.null[:J])  # [J, K, card]
        mixed = mix_guidance(
            logits.index_select(0, self.cond[:J]), null, settings.guidance[:, None, None]
        )
        noise = self.noise[self.jobs[:J], self.noise_at[:J]]  # [J, K, card]
        column = self.columns[:, :J].index_select(0, at)[0]  # [J, K]
        column = torch.where(column == FREE, draw_each(mixed, settings, noise), column)
        self.columns[:, :J].index_copy_(0, at, column[None])
        self.last[:J].copy_(column)
        self.noise_at[:J].add_(1).remainder_(BLOCK)
        self.lengths[:R].add_(self.runs[:R] * ~is_fresh)
        is_fresh.fill_(False)
        at.add_(1)

    def moving_parts(self) -> list[Tensor]:
        """What a step changes, apart from the cache."""
        return [self.at, self.columns, self.last, self.noise_at, self.lengths, self.is_fresh]


def write(buffer: Tensor, values: Tensor | Sequence[int]) -> None:
    """The first of `buffer` become `values` from the host; without waiting for a CUDA device."""
    sent = torch.as_tensor(values, dtype=buffer.dtype)
    if buffer.device.type == "cuda":
        sent = sent.pin_memory()
    buffer[: len(sent)].copy_(sent, non_blocking=True)
