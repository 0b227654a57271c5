"""GraphRunner: whole steps on CUDA, from the last tokens to the next, each launched at once.

J jobs, R rows, K codebooks, N cache slots, D width, P steps of a prefill, L text length.

A small step is bound by launching its hundreds of kernels. As a CUDA graph it is one launch, with
embedding, layers, guidance and draws in it, and nothing is copied or awaited in between. There is
a graph for every bucket of jobs, rows and slots: what a job's codes are on a GPU depends on the job
and those alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from fanfare.engine.noise import BLOCK
from fanfare.engine.step_state import StepState, write
from fanfare.engine.stretch import Seating
from fanfare.engine.track import Track
from fanfare.nn.cache import bucket
from fanfare.nn.lm import LanguageModel

ROW_BUCKETS = (1, 2, 4, 8, 16, 32, 64)

Shape = tuple[int, int, int]
"""Buckets of jobs, rows and slots."""


class GraphRunner:
    """Rows of a model whose steps are replayed; see `Runner` for `admit` and `release`.

    Without `captures` the same steps run eagerly, on any device. It is worth keeping: graphs of
    former jobs serve the next ones.
    """

    def __init__(self, lm: LanguageModel, n_rows: int, *, captures: bool = True) -> None:
        """Of at least `n_rows` rows, at most the largest of `ROW_BUCKETS`."""
        self.name = f"torch {str(lm.dtype).removeprefix('torch.')}, CUDA graphs"
        self.lm = lm
        self.n_rows = row_bucket(n_rows)
        self.captures = captures
        self.used: set[int] = set()
        self.cache = lm.new_cache(self.n_rows)
        self.state = StepState(lm, self.n_rows)
        self.replays: dict[Shape, Callable[[], None]] = {}
        self.pool = torch.cuda.graph_pool_handle() if captures else None

    @property
    def n_bytes(self) -> int:
        """Memory that it holds while nobody uses it, but for what graphs work in."""
        return self.state.n_bytes + self.cache.n_bytes

    @torch.inference_mode()
    def admit(self, row: int, x: Tensor, cross: Tensor | None, n_steps: int) -> Tensor:
        """See `Runner`."""
        n_new = x.shape[1]
        assert n_new <= n_steps, (x.shape, n_steps)
        self.used.add(row)
        text = None if cross is None else self.lm.project_text(cross)
        moved = self.cache.begin(row, text)
        # All that it will need at once, since new buffers end the graphs of old ones; and a slot
        # for what it computes in vain in the step that draws from the logits below.
        if self.cache.reserve(n_steps + 1) or moved:
            self._forget_graphs()
        stream = self.lm.extend(x, self.cache.prefill(row, n_new))
        self.state.lengths[row].fill_(n_new)
        if cross is not None:
            self.state.text_lengths[row].fill_(cross.shape[0])
        return self.lm.read_out(stream[:, -1:])[0, :, 0]

    def release(self, row: int) -> None:
        """See `Runner`; the buffers stay, for the graphs know their addresses."""
        self.used.discard(row)
        self.cache.lengths[row] = 0
        self.state.lengths[row].fill_(0)  # computed on with the others, it stays within its slots

    def shape(self, n_jobs: int, n_rows: int, n_seen: int) -> Shape:
        """Buckets of so many jobs, in the first rows, the longest of which uses `n_seen` slots."""
        n_slots = self.cache.n_slots
        assert self.cache.past_context is not None or n_seen <= n_slots, (n_seen, n_slots)
        return row_bucket(n_jobs), row_bucket(n_rows), min(bucket(n_seen), n_slots)

    def play(self, shape: Shape) -> None:
        """One step of the jobs in `state`."""
        if shape not in self.replays:
            self._warm_up(shape)
            self.replays[shape] = (
                self._captured(shape)
                if self.captures
                else partial(self.state.run, self.cache, *shape)
            )
        self.replays[shape]()

    def _warm_up(self, shape: Shape) -> None:
        """Run the step in vain: libraries set themselves up, which no graph may hold."""
        state, device = self.state, self.lm.device
        kept = [buffer.clone() for buffer in state.moving_parts()]

        def run() -> None:
            for _ in range(2):
                state.run(self.cache, *shape)
                for buffer, values in zip(state.moving_parts(), kept, strict=True):
                    buffer.copy_(values)

        if not self.captures:
            run()
            return
        present = torch.cuda.current_stream(device)
        aside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        aside.wait_stream(present)
        with torch.cuda.stream(aside):
            run()
        present.wait_stream(aside)

    def _captured(self, shape: Shape) -> Callable[[], None]:
        """The step as a graph: what launches it."""
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the device meanwhile, for instance to decode what is made.
        with torch.cuda.graph(graph, pool=self.pool, capture_error_mode="thread_local"):
            self.state.run(self.cache, *shape)
        return graph.replay

    def _forget_graphs(self) -> None:
        if self.captures and self.replays:
            torch.cuda.synchronize(self.lm.device)  # some may be running
        self.replays.clear()


class GraphEnsemble:
    """Jobs that play together on a `GraphRunner`, as in `Ensemble`."""

    def __init__(
        self, runner: GraphRunner, tracks: Sequence[Track], admitted: Mapping[int, Tensor]
    ) -> None:
        """`admitted` are the logits [K, card] of rows that were just prefilled."""
        self.runner, self.tracks = runner, tracks
        self.seating = Seating(tracks)
        state, rows = runner.state, self.seating.rows
        assert runner.used.issuperset(rows), (rows, runner.used)
        self.n_rows = max(rows) + 1
        self.row_index = torch.zeros(len(rows), dtype=torch.int64, device=runner.lm.device)
        write(self.row_index, rows)
        self._seat_jobs(state)
        self._seat_rows(state, admitted)
        self.fresh = set(admitted)
        self._lay_out()

    def _seat_jobs(self, state: StepState) -> None:
        """Jobs by their order: settings, noise, and where they go on."""
        for buffer, rows in (
            (state.cond, [track.rows[0] for track in self.tracks]),
            (state.null, [track.rows[-1] for track in self.tracks]),
        ):
            buffer.zero_()  # those of nobody stay within any bucket
            write(buffer, rows)
        state.write_settings([track.job.settings for track in self.tracks])
        n_read = [0 if track.noise is None else track.noise.n_read for track in self.tracks]
        write(state.noise_at, [n % BLOCK for n in n_read])
        for j, track in enumerate(self.tracks):
            if track.last is not None:
                state.last[j].copy_(track.last)
            if track.noise is not None:
                state.noise[j].copy_(track.noise.block())

    def _seat_rows(self, state: StepState, admitted: Mapping[int, Tensor]) -> None:
        """Rows stay where the runner has them; idle ones in between belong to nobody."""
        jobs, runs, is_fresh = ([0] * self.n_rows for _ in range(3))
        for row, j in zip(self.seating.rows, self.seating.job_of_row, strict=True):
            jobs[row], runs[row], is_fresh[row] = j, 1, int(row in admitted)
        for buffer, values in (
            (state.job_of_row, jobs),
            (state.runs, runs),
            (state.is_fresh, is_fresh),
        ):
            buffer.zero_()
            write(buffer, values)
        for row, logits in admitted.items():
            state.first_logits[row].copy_(logits)

    def _lay_out(self) -> None:
        state, stretch = self.runner.state, self.seating.lay_out()
        self.n, self.n_used = stretch.n, 0
        state.columns[: self.n, : len(self.tracks)].copy_(stretch.columns)
        if stretch.frames is not None:
            assert state.frames is not None, "this model takes no plan"
            state.frames[: self.n].index_copy_(1, self.row_index, stretch.frames)
        state.at.zero_()
        lengths = self.runner.cache.lengths
        self.n_seen = 1 + max(lengths[row] for row in self.seating.rows)  # in the next step
        self.shape = self.runner.shape(len(self.tracks), self.n_rows, self.n_seen)

    @property
    def is_due(self) -> bool:
        """Whether the stretch is at its end, and with it perhaps some window."""
        return self.n_used == self.n

    def step(self) -> None:
        """Draw one column of every job."""
        if self.is_due:
            self.close()
            self._lay_out()
        if self.n_seen > self.shape[2]:
            self.shape = self.runner.shape(len(self.tracks), self.n_rows, self.n_seen)
        self.runner.play(self.shape)
        self.n_used += 1
        self.n_seen += 1
        for j, track in enumerate(self.tracks):
            track.step += 1
            track.n_done += 1
            if track.noise is not None:
                track.noise.n_read += 1
                if track.noise.n_read % BLOCK == 0:
                    self.runner.state.noise[j].copy_(track.noise.block())

    def close(self) -> None:
        """Hand the columns of this stretch to their jobs."""
        if self.n_used == 0:
            return
        state, n_jobs = self.runner.state, len(self.tracks)
        columns = state.columns[: self.n_used, :n_jobs].clone()  # [n, J, K]
        for j, track in enumerate(self.tracks):
            track.take(columns[:, j], columns[-1, j])
        for row in self.seating.rows:
            self.runner.cache.lengths[row] += self.n_used - (row in self.fresh)
        self.fresh.clear()
        self.n = self.n_used = 0


def row_bucket(n_rows: int) -> int:
    """The smallest bucket that holds `n_rows`."""
    assert 1 <= n_rows <= ROW_BUCKETS[-1], n_rows
    return next(size for size in ROW_BUCKETS if size >= n_rows)
