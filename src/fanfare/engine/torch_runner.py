"""TorchRunner: eager torch on any device.

R rows, K codebooks, D width, P steps of a prefill, L text length.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from fanfare.engine.graph_runner import ROW_BUCKETS, GraphRunner
from fanfare.nn.lm import LanguageModel


class TorchRunner:
    """Eager torch: rows attend over slots of their own; see `Runner`.

    In float32 on a CPU, a row's logits are bitwise independent of the others.
    """

    def __init__(self, lm: LanguageModel, n_rows: int) -> None:
        self.name = f"torch {str(lm.dtype).removeprefix('torch.')}"
        self.lm = lm
        self.n_rows = n_rows
        self.used: set[int] = set()
        self.ties: dict[int, int] = {}
        self.cache = lm.new_cache(n_rows)

    def tie(self, rows: Sequence[int]) -> None:
        """`rows`, ascending, will take every step together: two of them attend in one call."""
        if len(rows) == 2:
            self.ties[rows[0]] = rows[1]

    @torch.inference_mode()
    def admit(self, row: int, x: Tensor, cross: Tensor | None, n_steps: int) -> Tensor:
        """See `Runner`."""
        assert x.shape[1] <= n_steps, (x.shape, n_steps)
        self.used.add(row)
        self.cache.begin(row, None if cross is None else self.lm.project_text(cross))
        stream = self.lm.extend(x, self.cache.prefill(row, x.shape[1]))
        return self.lm.read_out(stream[:, -1:])[0, :, 0]

    @torch.inference_mode()
    def step(self, rows: Sequence[int], x: Tensor) -> Tensor:
        """See `Runner`."""
        assert self.used.issuperset(rows), (rows, self.used)
        stream = self.lm.extend(x, self.cache.step(rows, self.ties.items()))
        return self.lm.read_out(stream)[: len(rows), :, 0]

    def release(self, row: int) -> None:
        """See `Runner`; with the last row go the buffers."""
        self.used.discard(row)
        self.ties.pop(row, None)
        if not self.used:
            self.cache = self.lm.new_cache(self.n_rows)


def make_runner(lm: LanguageModel, n_rows: int) -> TorchRunner | GraphRunner:
    """The fastest for the model's device, with `n_rows` rows or as many as it can hold."""
    if lm.device.type == "cuda":
        return GraphRunner(lm, min(n_rows, ROW_BUCKETS[-1]))
    return TorchRunner(lm, n_rows)
