"""Runs a language model on a CPU through ONNX Runtime, with matrices of 32, 8 or 4 bits.

R rows, S new steps, N cache slots, H heads, D width, L text length, K codebooks.

Rows lie side by side in buffers that the graph extends in place; each has a length of its own. When
one leaves, the last takes its place, so that those that run are always the first R.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fanfare.engine.graph_files import CROSS, STEP, with_graphs
from fanfare.nn.lm import LanguageModel
from fanfare.nn.transformer import rope_rotation, sin_embedding
from fanfare.weights.tensors import Left

PRECISIONS = ("float32", "int8", "int4")
SLOTS_AT_ONCE = 256
"""Caches grow by so many slots."""
WINDOWS_HELD = 4
"""Slots of a model with a window, in windows: old ones are dropped every third window."""
KINDS = {torch.float32: np.float32, torch.int32: np.int32, torch.int64: np.int64}


@dataclass
class _Row:
    """One running row.

    Attributes:
        held: steps in its cache.
        seen: steps that it has taken in, dropped ones included; the next one's position.
    """

    name: int
    held: int = 0
    seen: int = 0


@dataclass
class _Buffers:
    """Caches of all rows, [rows, H, slots, D/H] each, and their texts."""

    n_rows: int = 0
    n_slots: int = 0
    length: int = 1
    self_kv: dict[str, Tensor] = field(default_factory=dict)
    cross_kv: dict[str, Tensor] = field(default_factory=dict)
    text: Tensor = field(default_factory=lambda: torch.zeros(0, 1, dtype=torch.int32))


@dataclass
class _Call:
    """A call of the graph with all its buffers bound, for as long as none of them moves."""

    first: int
    stop: int
    n_steps: int
    feeds: dict[str, Tensor]
    logits: Tensor
    binding: Any

    def fits(self, first: int, stop: int, n_steps: int) -> bool:
        return (self.first, self.stop, self.n_steps) == (first, stop, n_steps)


class OnnxModel:
    """A language model's graphs, ready to run on a CPU; any number of runners share them.

    `precision` is "float32", "int8" or "int4" (whose heads keep 8 bits). Weights of `lm` that are
    on the meta device are read through `left`; the graphs of such a model are kept in `cache_dir`.
    Torch should have one thread while steps are made: its idle threads spin, and take the cores
    from those of ONNX Runtime (62 steps a second instead of 40, at the size of small).

    Raises OutputError if there is no room for the graphs.
    """

    def __init__(
        self,
        lm: LanguageModel,
        precision: str = "int8",
        left: Mapping[str, Left] | None = None,
        cache_dir: Path | None = None,
    ) -> None:
        assert precision in PRECISIONS, precision
        self.name = f"onnxruntime {precision}"
        self.precision = precision
        self.lm = without_layers(lm)
        has_cross = lm.config.text_fusion == "cross"

        def sessions(folder: Path) -> tuple[Any, Any]:
            return _session(folder / STEP), _session(folder / CROSS) if has_cross else None

        opened = with_graphs(sessions, lm, precision, left or {}, cache_dir)
        self.session, self.cross_session = opened


class OnnxRunner:
    """At most `n_rows` rows of one model on a CPU; see `Runner`.

    A row's logits are bitwise independent of the others: products of integers take rows two by two
    and an odd one on another road, so that it gets an idle neighbour.
    """

    def __init__(self, model: OnnxModel, n_rows: int = 64) -> None:
        self.name, self.lm, self.n_rows = model.name, model.lm, n_rows
        self.session, self.cross_session = model.session, model.cross_session
        self.has_cross = model.cross_session is not None
        self.rows_at_once = 1 if model.precision == "float32" else 2
        self.running: list[_Row] = []
        self.buffers = _Buffers()
        self.call: _Call | None = None
        self.positions = torch.zeros(0), torch.zeros(0)

    @torch.inference_mode()
    def admit(self, row: int, x: Tensor, cross: Tensor | None, n_steps: int) -> Tensor:
        """Start `row` anew with embedded steps [1, P, D] and text [L, D]: logits [K, card].

        `n_steps` is how many it will take in, those of `x` included.
        """
        names = [other.name for other in self.running]
        assert row in names or len(names) < self.n_rows, (row, self.n_rows)
        place = names.index(row) if row in names else len(names)
        n_rows = max(place, len(self.running) - 1) + 1
        self._make_room(self._padded(n_rows), self._slots_for(x.shape[1], n_steps))
        if self.has_cross:
            assert cross is not None
            self._write_text(place, cross)
        self.running[place : place + 1] = [_Row(row)]
        return self._run(self.running[place : place + 1], place, x)[0]

    @torch.inference_mode()
    def step(self, rows: Sequence[int], x: Tensor) -> Tensor:
        """One more step [R, 1, D] of each of `rows`: logits [R, K, card].

        Rows that run and aren't named are computed along, to no effect: what they write is
        overwritten by their own next step.
        """
        place = {row.name: i for i, row in enumerate(self.running)}
        order = [place[row] for row in rows]
        if order == list(range(self._padded(len(self.running)))):
            return self._run(self.running, 0, x)  # as they lie
        index = torch.tensor(order)
        arranged = torch.zeros(self._padded(len(self.running)), *x.shape[1:])
        arranged[index] = x.float()
        taking = list(self.running)
        for i in set(range(len(taking))).difference(order):
            self._make_slots(i, taking[i], 1)
            taking[i] = replace(taking[i])
        taking += [_Row(-1) for _ in arranged[len(taking) :]]
        return self._run(taking, 0, arranged)[index]

    @torch.inference_mode()
    def release(self, row: int) -> None:
        """Forget `row`; the last one takes its place. One that never began is nothing to forget."""
        names = [other.name for other in self.running]
        if row not in names:
            return
        place = names.index(row)
        last = len(self.running) - 1
        if place != last:
            held = self.running[last].held
            for buffer in self.buffers.self_kv.values():
                buffer[place, :, :held] = buffer[last, :, :held]
            for buffer in self.buffers.cross_kv.values():
                buffer[place] = buffer[last]
            if self.has_cross:
                self.buffers.text[place] = self.buffers.text[last]
            self.running[place] = self.running[last]
        self.running.pop()
        if not self.running:
            self.buffers, self.call = _Buffers(), None

    @torch.inference_mode()
    def _run(self, rows: Sequence[_Row], first: int, x: Tensor) -> Tensor:
        """Take in `x` [R, S, D] for the rows that lie at `first` and after: logits [R, K, card]."""
        config, stop = self.lm.config, first + len(rows)
        R, S, _ = x.shape
        assert len(rows) == R, (first, stop, x.shape)
        for place, row in enumerate(rows, first):
            self._make_slots(place, row, S)
        positions = torch.tensor([[*range(row.seen, row.seen + S)] for row in rows])  # [R, S]
        for row in rows:
            row.held, row.seen = row.held + S, row.seen + S
        self._know_positions(max(row.seen for row in rows))
        first_part, second_part = self.positions
        feeds: dict[str, Tensor] = {}
        if config.positions == "sin":
            x = x.float() + first_part[positions]
        else:
            index = positions.flatten()
            feeds = {"cos": first_part[index], "sin": second_part[index]}
        held = [row.held for row in rows]
        feeds |= {
            "x": x,
            "held": torch.tensor([n - 1 for n in held], dtype=torch.int32),
            "longest": torch.tensor([max(held)], dtype=torch.int32),
        }
        call = self.call
        if call is None or not call.fits(first, stop, S):
            call = self.call = self._bound(first, stop, feeds)
        for name, tensor in feeds.items():
            call.feeds[name].copy_(tensor)
        self.session.run_with_iobinding(call.binding)
        return call.logits.view(R, config.n_codebooks, config.card).clone()

    def _know_positions(self, n: int) -> None:
        """Tables of what the first `n` positions add to inputs, or of how they rotate keys."""
        if len(self.positions[0]) >= n:
            return
        config, size = self.lm.config, -(-n // 1024) * 1024
        every = torch.arange(size)
        if config.positions == "sin":
            table = sin_embedding(every, config.dim, config.max_period)
            self.positions = (table, table)
        else:
            self.positions = rope_rotation(every, config.head_dim, config.max_period)

    def _bound(self, first: int, stop: int, feeds: dict[str, Tensor]) -> _Call:
        """A call on the rows at `first` to `stop`, its inputs shaped like `feeds`."""
        config = self.lm.config
        logits = torch.empty(stop - first, 1, config.n_codebooks * config.card)
        own = {name: torch.empty_like(tensor) for name, tensor in feeds.items()}
        own["x"] = own["x"].float()
        if config.positions == "rope":
            R, S = feeds["x"].shape[:2]
            own["place"] = torch.arange(R * S).view(R, S)
        call = _Call(first, stop, feeds["x"].shape[1], own, logits, self.session.io_binding())
        binding = call.binding
        for name, tensor in own.items():
            _bind(binding.bind_input, name, tensor)
        for name, buffer in self.buffers.self_kv.items():
            _bind(binding.bind_input, name, buffer[first:stop])
            _bind(binding.bind_output, f"{name}_new", buffer[first:stop])
        if self.has_cross:
            _bind(binding.bind_input, "text", self.buffers.text[first:stop])
            for name, buffer in self.buffers.cross_kv.items():
                _bind(binding.bind_input, name, buffer[first:stop])
        _bind(binding.bind_output, "logits", logits)
        return call

    def _padded(self, n_rows: int) -> int:
        return -(-n_rows // self.rows_at_once) * self.rows_at_once

    def _slots_for(self, n_prefill: int, n_steps: int) -> int:
        window = self.lm.config.past_context
        if window is not None:
            n_steps = min(n_steps, n_prefill + WINDOWS_HELD * window)
        return -(-n_steps // SLOTS_AT_ONCE) * SLOTS_AT_ONCE

    def _make_room(self, n_rows: int, n_slots: int) -> None:
        """Caches for so many rows of so many slots, with what the present ones hold."""
        buffers, config = self.buffers, self.lm.config
        if n_rows <= buffers.n_rows and n_slots <= buffers.n_slots:
            return
        if n_rows > buffers.n_rows:
            n_rows = max(n_rows, 2 * buffers.n_rows)
        n_rows = max(n_rows, buffers.n_rows)
        buffers.n_rows, buffers.n_slots = n_rows, max(n_slots, buffers.n_slots)
        self.call = None
        shape = (n_rows, config.n_heads, buffers.n_slots, config.head_dim)
        for name in _names("", config.n_layers):
            buffers.self_kv[name] = _grown(buffers.self_kv.get(name), shape)
        if self.has_cross:
            self._make_text_room(buffers.length)

    def _make_text_room(self, length: int) -> None:
        buffers, config = self.buffers, self.lm.config
        buffers.length = length
        self.call = None
        shape = (buffers.n_rows, config.n_heads, length, config.head_dim)
        for name in _names("c", config.n_layers):
            buffers.cross_kv[name] = _grown(buffers.cross_kv.get(name), shape)
        buffers.text = _grown(buffers.text, (buffers.n_rows, length))

    def _write_text(self, place: int, cross: Tensor) -> None:
        """Keys and values of a text [L, D] in the row at `place`."""
        assert self.cross_session is not None
        L = cross.shape[0]
        if self.buffers.length < L:
            self._make_text_room(-(-L // 16) * 16)
        text = cross[None].float().cpu().numpy()
        names = _names("c", self.lm.config.n_layers)
        for name, made in zip(names, self.cross_session.run(names, {"text": text}), strict=True):
            buffer = self.buffers.cross_kv[name]
            buffer[place] = 0
            buffer[place, :, :L] = torch.from_numpy(made)[0]
        self.buffers.text[place] = 0
        self.buffers.text[place, :L] = 1

    def _make_slots(self, place: int, row: _Row, n_new: int) -> None:
        """Where a row is full, move its last window to the front; what lies before it is past."""
        if row.held + n_new <= self.buffers.n_slots:
            return
        window = self.lm.config.past_context
        assert window is not None, (row, self.buffers.n_slots)
        kept = min(window - 1, row.held)
        for buffer in self.buffers.self_kv.values():
            buffer[place, :, :kept] = buffer[place, :, row.held - kept : row.held].clone()
        row.held = kept


def without_layers(lm: LanguageModel) -> LanguageModel:
    """The model with its embeddings and conditioning alone; the rest may go from memory."""
    shell = copy.copy(lm)
    shell._modules = dict(lm._modules)
    shell.layers, shell.heads = nn.ModuleList(), nn.ModuleList()
    return shell


def _session(graph: Path) -> Any:
    """A session on as many threads as torch has."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _bind(bind: Any, name: str, tensor: Tensor) -> None:
    assert tensor.is_contiguous(), name
    bind(name, "cpu", 0, KINDS[tensor.dtype], tuple(tensor.shape), tensor.data_ptr())


def _names(prefix: str, n_layers: int) -> list[str]:
    return [f"{prefix}{kind}{i}" for i in range(n_layers) for kind in "kv"]


def _grown(old: Tensor | None, shape: tuple[int, ...]) -> Tensor:
    """Zeros of `shape` with `old` in their corner."""
    new = torch.zeros(shape, dtype=torch.float32 if old is None else old.dtype)
    if old is not None and old.numel():
        new[tuple(slice(size) for size in old.shape)] = old
    return new
