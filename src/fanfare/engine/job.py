"""Job: one piece to be generated, ready for a language model."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from torch import Tensor

from fanfare.nn.conditioning import Conditions
from fanfare.nn.sampling import SamplingSettings


@dataclass(frozen=True, eq=False)
class Job:
    """What an engine needs to know of a request.

    Attributes:
        n_frames: T, length of the piece, its prompt included.
        conditions: what it is conditioned on.
        null: what guidance departs from, in the shape of `conditions`; None = no guidance.
        settings: how tokens are drawn.
        seed: of the request's own generator.
        prompt: codes to continue, int64 [K, P] with P < T; None = start from nothing.
        later: conditions and null of every further window of a long piece (see `windows`);
            empty = those of the first.
        report_every: frames after which what is complete is reported as `Frames`; None = never.
        cancelled: set from any thread to stop the job before its next step.
    """

    n_frames: int
    conditions: Conditions
    null: Conditions | None
    settings: SamplingSettings
    seed: int
    prompt: Tensor | None = None
    later: tuple[tuple[Conditions, Conditions | None], ...] = ()
    report_every: int | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        assert 0 <= self.n_prompt_frames < self.n_frames, (self.n_prompt_frames, self.n_frames)
        assert self.report_every is None or self.report_every > 0, self.report_every

    @property
    def n_prompt_frames(self) -> int:
        """P, frames given."""
        return 0 if self.prompt is None else self.prompt.shape[-1]

    @property
    def is_guided(self) -> bool:
        """Whether the null condition makes any difference."""
        return self.null is not None and self.settings.guidance != 1


@dataclass(frozen=True)
class Progress:
    """How far a batch of jobs has come, in steps of the longest of them."""

    step: int
    n_steps: int


@dataclass(frozen=True, eq=False)
class Frames:
    """Frames of job `index` that are complete, from frame `start` on: codes int64 [K, n].

    They come in order and each once, the prompt's included; all of them together are the piece.
    The codes are on the model's device.
    """

    index: int
    start: int
    codes: Tensor


@dataclass(frozen=True, eq=False)
class Made:
    """The last event of job `index`: its codes int64 [K, T], None where it was cancelled."""

    index: int
    codes: Tensor | None


@dataclass(frozen=True, eq=False)
class Result:
    """The last event of a batch: codes int64 [K, T] per job, None where it was cancelled."""

    codes: list[Tensor | None]
