"""Track: one job on its way through the windows of its piece.

K codebooks, T frames of a window, P of them given, S delayed steps, D width, n steps.

Column P + 1 of a window's delayed sequence is the first to be drawn; step i draws column
P + 1 + i.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fanfare.engine.job import Frames, Job
from fanfare.engine.noise import Noise
from fanfare.engine.windows import Window, plan_windows
from fanfare.nn.conditioning import Conditions, align_frames
from fanfare.nn.delay import DelayPattern
from fanfare.nn.lm import LanguageModel

FREE = -1
"""Marks the cells of a sequence where a token is to be drawn."""


class Track:
    """What is known of a job's piece so far, and what is to be drawn next.

    Attributes:
        rows: those of the runner that it has: of its condition and, guided, of the null.
        noise: what its tokens are drawn with; None = it is greedy.
        step: steps drawn in this window; 0 = its rows must be prefilled.
        n_done: steps drawn in all.
        n_steps: steps to draw in all.
        last: the column drawn last [K].
    """

    def __init__(self, lm: LanguageModel, ticket: int, job: Job) -> None:
        config = lm.config
        self.lm, self.ticket, self.job = lm, ticket, job
        self.device = lm.device
        self.noise: Noise | None = None
        if not job.settings.is_greedy:
            self.noise = Noise(job.seed, config.n_codebooks, config.card, lm.device)
        self.pattern = DelayPattern(config.delays, config.special_token)
        self.windows = plan_windows(config, job.n_frames, job.n_prompt_frames)
        self.n_steps = sum(w.n_frames - w.n_prompt + config.max_delay for w in self.windows)
        self.n_done = 0
        self.rows: tuple[int, ...] = ()
        self.codes: list[Tensor] = []  # complete frames in order, each [K, n]
        self.n_complete = 0  # of the whole piece
        self.n_reported = 0
        self.unreported: list[Tensor] = []  # the latest of `codes`
        self.last: Tensor | None = None
        self._open(0)

    @property
    def n_rows(self) -> int:
        """Rows that it needs."""
        return 2 if self.job.is_guided else 1

    @property
    def window(self) -> Window:
        """The present one."""
        return self.windows[self.index]

    @property
    def first(self) -> int:
        """The first column to be drawn."""
        return self.window.n_prompt + 1

    @property
    def n_window_steps(self) -> int:
        """Steps to draw in this window."""
        return self.window.n_frames - self.window.n_prompt + self.lm.config.max_delay

    @property
    def is_window_made(self) -> bool:
        """Whether all columns of this window are drawn."""
        return self.step == self.n_window_steps

    def _open(self, index: int) -> None:
        """Begin a window: its delayed sequence with known and free cells."""
        self.index, self.step = index, 0
        window, config = self.window, self.lm.config
        codes = torch.full((config.n_codebooks, window.n_frames), FREE, device=self.device)
        if index > 0:
            made = torch.cat(self.codes, dim=1)  # [K, all frames so far]
            self.codes = [made]
            codes[:, : window.n_prompt] = made[:, window.start : window.start + window.n_prompt]
        elif self.job.prompt is not None:
            codes[:, : window.n_prompt] = self.job.prompt.to(self.device)
        self.sequence = self.pattern.build(codes[None])[0]  # [K, S]
        # Columns whose frames aren't yet complete, each [K, n]; a later window's prompt is.
        begin = window.n_prompt if index > 0 else 0
        self.pending = [self.sequence[:, begin : self.first]]

    def conditions(self) -> list[Conditions]:
        """Of each of its rows in this window."""
        condition, null = self.job.conditions, self.job.null
        if self.index > 0 and self.job.later:
            condition, null = self.job.later[self.index - 1]
        if not self.job.is_guided:
            return [condition]
        assert null is not None, "a guided job is guided in every window"
        return [condition, null]

    def prefill(self, condition: Conditions) -> tuple[Tensor, int]:
        """Prefix and known columns, embedded [1, n, D], and the steps that a row takes in all."""
        tokens = self.sequence[None, :, : self.first]
        prefix, frames = condition.prefix, condition.frames
        if frames is not None:
            frames = align_frames(frames, self.first)[None]
        x = self.lm.embed(tokens, None if prefix is None else prefix[None], frames)
        return x, x.shape[1] + self.n_window_steps - 1

    def forced(self, n: int) -> Tensor:
        """The next n columns to be drawn, [n, K], FREE where they are."""
        start = self.first + self.step
        return self.sequence[:, start : start + n].T

    def free_steps(self) -> range:
        """Steps of this window, counted from the next, whose columns hold no known cell."""
        window, delays = self.window, self.lm.config.delays
        stop = window.n_frames - window.n_prompt + min(delays)
        return range(max(delays) - self.step, stop - self.step)

    def next_frames(self, condition: Conditions, n: int) -> Tensor | None:
        """What a plan adds to the inputs of the next n steps, [n, D]."""
        if condition.frames is None:
            return None
        start = self.window.n_prompt + self.step
        steps = torch.arange(start, start + n, device=self.device)
        return condition.frames[steps.clamp(max=condition.frames.shape[0] - 1)]

    def n_until_due(self) -> int:
        """Steps until this window ends or frames are to be reported; below 1 = they are by now."""
        left = self.n_window_steps - self.step
        every = self.job.report_every
        if every is None:
            return left
        complete = self.window.start + self.window.n_prompt + self.step - self.lm.config.max_delay
        return min(left, self.n_reported + every - complete)

    def take(self, columns: Tensor, last: Tensor) -> None:
        """Columns drawn [n, K], `last` [K] being the latest of them."""
        self.pending.append(columns.T)
        self.last = last

    def settle(self) -> Frames | None:
        """Undo the delay of what is complete; what is to be reported of it."""
        delayed = torch.cat(self.pending, dim=1)
        n_new = delayed.shape[1] - 1 - self.lm.config.max_delay
        if n_new > 0:
            self.codes.append(self.pattern.revert(delayed[None])[0])
            if self.job.report_every is not None:
                self.unreported.append(self.codes[-1])
            self.n_complete += n_new
            delayed = delayed[:, n_new:]
        self.pending = [delayed]
        return self._report()

    def _report(self) -> Frames | None:
        every = self.job.report_every
        n_new = self.n_complete - self.n_reported
        if every is None or n_new == 0 or (n_new < every and not self.is_made):
            return None
        start, self.n_reported = self.n_reported, self.n_complete
        codes, self.unreported = torch.cat(self.unreported, dim=1), []
        return Frames(self.ticket, start, codes)

    @property
    def is_made(self) -> bool:
        """Whether the whole piece is."""
        return self.n_complete == self.job.n_frames

    def go_on(self) -> None:
        """Begin the next window."""
        assert self.is_window_made, (self.step, self.n_window_steps)
        self._open(self.index + 1)
