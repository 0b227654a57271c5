"""Runner: rows of one model on one device, one step at a time.

R rows, K codebooks, D width, P steps of a prefill, L text length.

A runner knows nothing of jobs, sampling or files. Rows join by `admit` and leave by `release`, at
any step, and may be of any length.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from torch import Tensor

from fanfare.nn.lm import LanguageModel


class Runner(Protocol):
    """What every engine offers to `Loop`.

    Attributes:
        name: for people: what it runs with, in which type.
        lm: the model's shape and embeddings, whoever runs its layers.
        n_rows: how many rows it holds; they are numbered from 0.
    """

    name: str
    lm: LanguageModel
    n_rows: int

    def admit(self, row: int, x: Tensor, cross: Tensor | None, n_steps: int) -> Tensor:
        """Start `row` anew with embedded steps `x` [1, P, D] and a text `cross` [L, D].

        `n_steps` is how many steps it will take in, these included. Returns float32 logits
        [K, card] after the last one.
        """
        ...

    def step(self, rows: Sequence[int], x: Tensor) -> Tensor:
        """One step, embedded [R, 1, D], of each of `rows`: float32 logits [R, K, card]."""
        ...

    def release(self, row: int) -> None:
        """`row` is no longer needed."""
        ...
