"""Runners of torch: eager on any device, and graphs on CUDA.

R rows, B rows of a bucket, K codebooks, N slots, D width, P steps of a prefill, L text length.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from fanfare.nn.cache import MaskedStep, bucket
from fanfare.nn.lm import LanguageModel

ROW_BUCKETS = (1, 2, 4, 8, 16, 32, 64)


class TorchRunner:
    """Eager torch: rows attend over slots of their own; see `Runner`.

    In float32 on a CPU, a row's logits are bitwise independent of the others.
    """

    def __init__(self, lm: LanguageModel, n_rows: int) -> None:
        self.name = f"torch {str(lm.dtype).removeprefix('torch.')}"
        self.lm = lm
        self.n_rows = n_rows
        self.used: set[int] = set()
        self.cache = lm.new_cache(n_rows)

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
        stream = self.lm.extend(x, self.cache.step(rows))
        return self.lm.read_out(stream)[: len(rows), :, 0]

    def release(self, row: int) -> None:
        """See `Runner`; with the last row go the buffers."""
        self.used.discard(row)
        if not self.used:
            self.cache = self.lm.new_cache(self.n_rows)


class GraphRunner:
    """A step as one CUDA graph per bucket of rows and of slots; see `Runner`.

    A small step is bound by launching its hundreds of kernels, and a graph launches them at once.
    What it reads and writes is static: inputs, lengths and cache. Nothing is copied from the host
    while the rows stay the same. Without `captures` the same step runs eagerly, on any device.

    It is worth keeping: graphs of former jobs serve the next ones.
    """

    def __init__(self, lm: LanguageModel, n_rows: int, *, captures: bool = True) -> None:
        assert 1 <= n_rows <= ROW_BUCKETS[-1], n_rows
        self.name = f"torch {str(lm.dtype).removeprefix('torch.')}, CUDA graphs"
        self.lm = lm
        self.n_rows = n_rows
        self.captures = captures
        self.used: set[int] = set()
        n_all = row_bucket(n_rows)
        self.cache = lm.new_cache(n_all)
        device = lm.device
        self.x = torch.zeros(n_all, 1, lm.config.dim, device=device)
        self.lengths = torch.zeros(n_all, dtype=torch.int64, device=device)
        self.text_lengths = torch.ones(n_all, dtype=torch.int64, device=device)
        self.rows: tuple[int, ...] = ()  # of the step before
        self.index = torch.zeros(0, dtype=torch.int64, device=device)  # the same on the device
        self.replays: dict[tuple[int, int], Callable[[], Tensor]] = {}  # by rows and slots
        self.pool = torch.cuda.graph_pool_handle() if captures else None

    @torch.inference_mode()
    def admit(self, row: int, x: Tensor, cross: Tensor | None, n_steps: int) -> Tensor:
        """See `Runner`."""
        n_new = x.shape[1]
        assert n_new <= n_steps, (x.shape, n_steps)
        self.used.add(row)
        text = None if cross is None else self.lm.project_text(cross)
        moved = self.cache.begin(row, text)
        # All that it will need at once: new buffers end the graphs of old ones.
        if self.cache.reserve(n_steps) or moved:
            self.replays.clear()
        stream = self.lm.extend(x, self.cache.prefill(row, n_new))
        self.lengths[row].fill_(n_new)
        if cross is not None:
            self.text_lengths[row].fill_(cross.shape[0])
        return self.lm.read_out(stream[:, -1:])[0, :, 0]

    @torch.inference_mode()
    def step(self, rows: Sequence[int], x: Tensor) -> Tensor:
        """See `Runner`."""
        assert self.used.issuperset(rows), (rows, self.used)
        if self.rows != tuple(rows):
            self.rows = tuple(rows)
            self.index = torch.tensor(rows, device=self.lm.device)
        n_seen = max(self.cache.lengths[row] for row in rows) + 1
        shape = row_bucket(max(rows) + 1), min(bucket(n_seen), self.cache.n_slots)
        assert self.cache.past_context is not None or n_seen <= self.cache.n_slots, n_seen
        self.x.index_copy_(0, self.index, x)
        if shape not in self.replays:
            self.replays[shape] = (
                self._captured(shape) if self.captures else partial(self._run, *shape)
            )
        logits = self.replays[shape]()
        self.lengths.index_add_(0, self.index, torch.ones_like(self.index))
        for row in rows:
            self.cache.lengths[row] += 1
        return logits.index_select(0, self.index)

    def release(self, row: int) -> None:
        """See `Runner`; the buffers stay, for the graphs know their addresses."""
        self.used.discard(row)
        self.lengths[row].fill_(0)  # computed on with the others, it must stay within its slots

    def _run(self, n_rows: int, n_slots: int) -> Tensor:
        """The step itself: logits [B, K, card] of the first `n_rows` rows over `n_slots` slots.

        It changes nothing but each row's next slot, so it may run twice.
        """
        memory = MaskedStep(self.cache, self.lengths[:n_rows], self.text_lengths[:n_rows], n_slots)
        return self.lm.read_out(self.lm.extend(self.x[:n_rows], memory))[:, :, 0]

    def _captured(self, shape: tuple[int, int]) -> Callable[[], Tensor]:
        """The step as a graph: launches it, and returns the tensor that holds its logits."""
        device = self.lm.device
        present = torch.cuda.current_stream(device)
        aside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        # First without a graph: libraries set themselves up, which none may hold.
        aside.wait_stream(present)
        with torch.cuda.stream(aside):
            for _ in range(2):
                self._run(*shape)
        present.wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the device meanwhile, for instance to decode what is made.
        with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
            logits = self._run(*shape)

        def replay() -> Tensor:
            graph.replay()
            return logits

        return replay


def row_bucket(n_rows: int) -> int:
    """The smallest bucket that holds `n_rows`."""
    return next(size for size in ROW_BUCKETS if size >= n_rows)


def make_runner(lm: LanguageModel, n_rows: int) -> TorchRunner | GraphRunner:
    """The fastest of them for the model's device."""
    if lm.device.type == "cuda" and n_rows <= ROW_BUCKETS[-1]:
        return GraphRunner(lm, n_rows)
    return TorchRunner(lm, n_rows)
