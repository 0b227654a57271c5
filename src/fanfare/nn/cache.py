"""KvCache: what rows of sequences have been through so far, each row of its own length.

R rows, S new steps, N slots, H heads, D width, L text length.

The cache is static buffers, each row filled from its first slot on. With a window of W steps a row
is a ring of W slots, for rotated keys don't care about order, and memory stays flat for any length.

A call of the model sees the cache through a `Memory`. In float32 on a CPU what a row computes is
bitwise the same whoever computes beside it: rows attend over slots of their own, never over
padding, and with nobody but those they are tied to; matrices multiply whole quads of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from fanfare.nn.config import LmConfig
from fanfare.nn.transformer import causal_attention

MIN_SLOTS = 64
QUAD = 4
"""Matrix products of fewer rows than this, or of a rest of them on some thread, use other kernels
(measured with MKL for 1 to 64 rows on 1 and 2 threads), so there are never fewer. Two more rows
cost little where reading the weights is what takes the time."""


def bucket(n: int) -> int:
    """The smallest of 64, 96, 128, 192, 256, 384 … that holds `n`."""
    size = MIN_SLOTS
    while size < n:
        size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
    return size


class Memory(Protocol):
    """What `LanguageModel.extend` runs on: some rows of a cache, and what they do next."""

    positions: Tensor  # int64 [S], or [R, S] where rows differ; idle rows included
    n_idle: int  # rows computed beside those given
    has_text: bool

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Take in keys and values of new steps; what the queries find: all [R, H, S, D/H]."""
        ...

    def look(self, layer: int, q: Tensor) -> Tensor:
        """What queries [R, H, S, D/H] find in the text."""
        ...


@dataclass
class LayerCache:
    """Keys and values of one layer: static buffers, written in place."""

    keys: Tensor  # [R, H, N, D/H]
    values: Tensor  # [R, H, N, D/H]
    text_keys: Tensor  # [R, H, L, D/H]
    text_values: Tensor  # [R, H, L, D/H]


class KvCache:
    """Buffers of every layer that grow by need, and how far each row has come.

    Attributes:
        layers: one entry per layer.
        lengths: steps so far of each row; the next step's position.
        text_lengths: of each row; 0 = none.
        rows_at_once: matrices multiply multiples of so many rows.
    """

    def __init__(
        self,
        config: LmConfig,
        n_rows: int,
        *,
        dtype: torch.dtype,
        device: torch.device,
        rows_at_once: int = 1,
    ) -> None:
        self.config = config
        self.past_context = config.past_context
        self.has_text = config.text_fusion == "cross"
        self.rows_at_once = rows_at_once
        if device.type == "cpu":  # attends in float32, and would convert all in every step
            dtype = torch.float32
        self.lengths = [0] * n_rows
        self.text_lengths = [0] * n_rows
        empty = torch.zeros(n_rows, config.n_heads, 0, config.head_dim, dtype=dtype, device=device)
        self.layers = [LayerCache(empty, empty, empty, empty) for _ in range(config.n_layers)]

    @property
    def device(self) -> torch.device:
        """Where the buffers are."""
        return self.layers[0].keys.device

    @property
    def n_slots(self) -> int:
        """N, slots per row."""
        return self.layers[0].keys.shape[2]

    @property
    def n_text_slots(self) -> int:
        """L, room for the text of each row."""
        return self.layers[0].text_keys.shape[2]

    @property
    def n_bytes(self) -> int:
        """What the buffers take."""
        return sum(
            buffer.nbytes
            for layer in self.layers
            for buffer in (layer.keys, layer.values, layer.text_keys, layer.text_values)
        )

    def reserve(self, n_steps: int) -> bool:
        """Make room for rows of `n_steps` steps; whether that took new buffers."""
        need = bucket(n_steps)
        if self.past_context is not None:
            need = min(need, self.past_context)
        if need <= self.n_slots:
            return False
        for layer in self.layers:
            layer.keys = _grown(layer.keys, need)
            layer.values = _grown(layer.values, need)
        return True

    def slot(self, position: int) -> int:
        """Where the step at `position` is kept."""
        return position if self.past_context is None else position % self.past_context

    def begin(self, row: int, text: Sequence[tuple[Tensor, Tensor]] | None) -> bool:
        """Start `row` anew, with every layer's keys and values of its text, each [H, L, D/H].

        Returns whether that took new buffers.
        """
        assert (text is not None) == self.has_text, "a model with cross-attention takes a text"
        self.lengths[row] = 0
        if text is None:
            return False
        n_text = text[0][0].shape[1]
        self.text_lengths[row] = n_text
        grows = n_text > self.n_text_slots
        for layer, (k, v) in zip(self.layers, text, strict=True):
            if grows:
                layer.text_keys = _grown(layer.text_keys, bucket(n_text))
                layer.text_values = _grown(layer.text_values, bucket(n_text))
            layer.text_keys[row, :, :n_text] = k
            layer.text_values[row, :, :n_text] = v
        return grows

    def prefill(self, row: int, n_new: int) -> Memory:
        """A row's first `n_new` steps, all at once."""
        assert self.lengths[row] == 0, (row, self.lengths)
        self.reserve(n_new)
        self.lengths[row] = n_new
        return _Prefill(self, row, n_new)

    def step(self, rows: Sequence[int], ties: Iterable[tuple[int, int]] = ()) -> Memory:
        """One more step of each of `rows`.

        `ties` are pairs of rows that take every step together, the lower one first.
        """
        self.reserve(max(self.lengths[row] for row in rows) + 1)
        memory = _Step(self, rows, ties)
        for row in rows:
            self.lengths[row] += 1
        return memory


def _grown(buffer: Tensor, n_slots: int) -> Tensor:
    """A buffer [R, H, N, D/H] with more slots."""
    R, H, N, width = buffer.shape
    larger = buffer.new_zeros(R, H, n_slots, width)
    larger[:, :, :N] = buffer
    return larger


class _Prefill:
    """The first steps of one row: they attend to each other, and the latest are kept."""

    n_idle = 0

    def __init__(self, cache: KvCache, row: int, n_new: int) -> None:
        self.cache, self.row = cache, row
        self.has_text = cache.has_text
        self.positions = torch.arange(n_new, device=cache.device)
        self.n_kept = min(n_new, cache.past_context or n_new)
        self.slots: slice | Tensor = slice(0, n_new)
        if self.n_kept < n_new:
            self.slots = self.positions[-self.n_kept :] % self.n_kept

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See `Memory`: all [1, H, S, D/H]."""
        kept = self.cache.layers[layer]
        kept.keys[self.row, :, self.slots] = k[0, :, -self.n_kept :]
        kept.values[self.row, :, self.slots] = v[0, :, -self.n_kept :]
        return causal_attention(q, k, v, self.cache.past_context)

    def look(self, layer: int, q: Tensor) -> Tensor:
        """See `Memory`."""
        kept, n_text = self.cache.layers[layer], self.cache.text_lengths[self.row]
        at = slice(self.row, self.row + 1)
        keys, values = kept.text_keys[at, :, :n_text], kept.text_values[at, :, :n_text]
        return F.scaled_dot_product_attention(q.to(keys.dtype), keys, values).to(q.dtype)


class _Step:
    """One step of some rows: each by itself, or as a pair where two of equal length are tied.

    A call for more would divide their heads among threads as many as there are rows, and which
    thread computes a head shows in its last bits.
    """

    def __init__(
        self, cache: KvCache, rows: Sequence[int], ties: Iterable[tuple[int, int]]
    ) -> None:
        self.cache, self.rows = cache, rows
        self.has_text = cache.has_text
        self.n_idle = -len(rows) % cache.rows_at_once
        lengths = [cache.lengths[row] for row in rows]
        self.positions = torch.tensor(lengths + [0] * self.n_idle, device=cache.device)[:, None]
        place = {row: i for i, row in enumerate(rows)}
        mates = {
            a: b
            for a, b in ties
            if place.get(a, len(rows)) < place.get(b, -1) and cache.lengths[a] == cache.lengths[b]
        }
        second = set(mates.values())
        # Of each group: its places in this call, its rows in the cache, its slot, slots to see.
        self.groups: list[tuple[slice, slice, int, int]] = []
        for i, (row, length) in enumerate(zip(rows, lengths, strict=True)):
            if row in second:
                continue
            mate = mates.get(row, row)
            # A full ring is seen whole.
            n_seen = min(length + 1, cache.n_slots)
            self.groups.append(
                (_both(i, place[mate]), _both(row, mate), cache.slot(length), n_seen)
            )

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See `Memory`: all [R, H, 1, D/H]."""
        kept = self.cache.layers[layer]
        mixed = torch.zeros_like(q)
        for at, rows, slot, n in self.groups:
            keys, values = kept.keys[rows], kept.values[rows]  # [1 or 2, H, N, D/H]
            keys[:, :, slot] = k[at, :, 0]
            values[:, :, slot] = v[at, :, 0]
            mixed[at] = _attend_once(q[at], keys[:, :, :n], values[:, :, :n])
        return mixed

    def look(self, layer: int, q: Tensor) -> Tensor:
        """See `Memory`."""
        kept = self.cache.layers[layer]
        mixed = torch.zeros_like(q)
        for i, row in enumerate(self.rows):
            n = self.cache.text_lengths[row]
            values = kept.text_values[row, None, :, :n]
            if n > 1:  # of a single key its value is all there is
                keys = kept.text_keys[row, None, :, :n]
                values = _attend_once(q[i, None], keys, values)
            mixed[i] = values[0]
        return mixed


def _both(a: int, b: int) -> slice:
    """What picks a and b, b not being less, as a view."""
    return slice(a, b + 1, max(b - a, 1))


def _attend_once(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """What single queries [R, H, 1, D/H] find in keys and values [R, H, N, D/H].

    On a CPU two products of matrices in float32 do it in less time than torch's attention, for
    bfloat16 in a third of it.
    """
    if q.device.type != "cpu":
        return F.scaled_dot_product_attention(q, k, v)
    query = q.float() * q.shape[-1] ** -0.5
    scores = torch.matmul(k.float(), query.transpose(-1, -2))  # [R, H, N, 1]
    return torch.matmul(torch.softmax(scores.transpose(-1, -2), dim=-1), v.float()).to(q.dtype)


class MaskedStep:
    """One step of the first rows of a cache, written with tensors only, so that it can be replayed.

    A row that isn't in use, or waits, is computed, too: it writes where its own next step will
    write again.
    """

    n_idle = 0

    def __init__(self, cache: KvCache, lengths: Tensor, text_lengths: Tensor, n_slots: int) -> None:
        """Rows of `lengths` [R] with texts of `text_lengths` [R], attending over `n_slots`."""
        assert n_slots <= cache.n_slots, (n_slots, cache.n_slots)
        self.cache, self.n_slots = cache, n_slots
        self.has_text = cache.has_text
        self.rows = torch.arange(lengths.shape[0], device=lengths.device)
        self.positions = lengths[:, None]  # [R, 1]
        self.slots = lengths if cache.past_context is None else lengths % cache.past_context
        slots = torch.arange(n_slots, device=lengths.device)
        self.seen = (slots <= self.positions)[:, None, None]  # [R, 1, 1, N]
        text_slots = torch.arange(cache.n_text_slots, device=lengths.device)
        self.heard = (text_slots < text_lengths[:, None])[:, None, None]  # [R, 1, 1, L]

    def attend(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """See `Memory`: all [R, H, 1, D/H]."""
        kept, R = self.cache.layers[layer], q.shape[0]
        kept.keys[self.rows, :, self.slots] = k[:, :, 0]
        kept.values[self.rows, :, self.slots] = v[:, :, 0]
        return F.scaled_dot_product_attention(
            q,
            kept.keys[:R, :, : self.n_slots],
            kept.values[:R, :, : self.n_slots],
            attn_mask=self.seen,
        )

    def look(self, layer: int, q: Tensor) -> Tensor:
        """See `Memory`."""
        kept, R = self.cache.layers[layer], q.shape[0]
        return F.scaled_dot_product_attention(
            q, kept.text_keys[:R], kept.text_values[:R], attn_mask=self.heard
        )
