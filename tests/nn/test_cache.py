"""Running over a cache, step by step, equals running the whole at once."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from fanfare.nn.cache import MaskedStep, Memory
from fanfare.nn.config import LmConfig
from fanfare.nn.lm import LanguageModel

S = 40
SIN = LmConfig(n_codebooks=2, card=16, dim=32, n_heads=4, n_layers=2, ffn_dim=64, delays=(0, 1))
CASES = {
    "sin": SIN,
    "rope": replace(SIN, positions="rope"),
    "rope window": replace(SIN, positions="rope", past_context=4),
    "sin window": replace(SIN, past_context=7),
    "text": replace(SIN, text_dim=8, text_fusion="cross"),
}


def build(config: LmConfig) -> LanguageModel:
    torch.manual_seed(0)
    lm = LanguageModel(config)
    lm.initialise()
    return lm.eval()


def random_tokens(n_rows: int) -> Tensor:
    return torch.randint(17, (n_rows, 2, S), generator=torch.Generator().manual_seed(1))


def logits_of(lm: LanguageModel, tokens: Tensor, memory: Memory) -> Tensor:
    """[rows given, K, S, card] of steps [rows, K, S] on top of `memory`."""
    stream = lm.extend(lm.embed(tokens, None, None), memory)
    return lm.read_out(stream)[: tokens.shape[0]]


@pytest.mark.parametrize("n_prefill", [1, 3, 10, S])
@pytest.mark.parametrize("config", CASES.values(), ids=CASES.keys())
@torch.inference_mode()
def test_cached_equals_full(config: LmConfig, n_prefill: int) -> None:
    lm, tokens = build(config), random_tokens(2)
    texts = [torch.randn(n, 32) for n in (3, 1)] if config.text_dim else [None, None]
    cache = lm.new_cache(2)
    pieces = []
    for row, text in enumerate(texts):
        cache.begin(row, None if text is None else lm.project_text(text))
        pieces.append(
            logits_of(lm, tokens[row, None, :, :n_prefill], cache.prefill(row, n_prefill))
        )
    steps = [logits_of(lm, tokens[:, :, i, None], cache.step([0, 1])) for i in range(n_prefill, S)]
    cached = torch.cat([torch.cat(pieces), *steps], dim=2)
    for row, text in enumerate(texts):
        full = lm(tokens[row, None], None if text is None else text[None])
        torch.testing.assert_close(cached[row, None], full, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("config", CASES.values(), ids=CASES.keys())
@torch.inference_mode()
def test_a_row_is_bitwise_the_same_whoever_is_beside_it(config: LmConfig, n_threads: int) -> None:
    lm, tokens = build(config), random_tokens(7)
    ahead = [0, 6, 2, 6, 6, 6, 6]  # of different length, neighbours of equal length among them
    ties = [(3, 4), (1, 6)]

    def run(rows: list[int]) -> dict[int, list[Tensor]]:
        cache = lm.new_cache(7)
        made: dict[int, list[Tensor]] = {row: [] for row in rows}
        for row in rows:
            text = torch.randn(1 + row % 3, 32, generator=torch.Generator().manual_seed(row))
            cache.begin(row, lm.project_text(text) if config.text_dim else None)
            logits_of(
                lm, tokens[row, None, :, : 1 + ahead[row]], cache.prefill(row, 1 + ahead[row])
            )
        for i in range(20):
            given = torch.stack([tokens[row, :, 1 + ahead[row] + i, None] for row in rows])
            memory = cache.step(rows, ties)
            for row, logits in zip(rows, logits_of(lm, given, memory), strict=True):
                made[row].append(logits)
        return made

    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        together = run([0, 1, 2, 3, 4, 5, 6])
        for rows in ([0], [1, 6], [3, 4], [5], [0, 2, 3, 4], [1, 5, 6]):
            for row, made in run(rows).items():
                assert all(torch.equal(a, b) for a, b in zip(made, together[row], strict=True)), row
    finally:
        torch.set_num_threads(before)


@torch.inference_mode()
def test_tied_rows_compute_what_they_would_alone() -> None:
    lm, tokens = build(CASES["rope window"]), random_tokens(2)
    made = []
    for ties in ([], [(0, 1)]):
        cache = lm.new_cache(2)
        for row in range(2):
            cache.begin(row, None)
            logits_of(lm, tokens[row, None, :, :3], cache.prefill(row, 3))
        made.append(
            [logits_of(lm, tokens[:, :, i, None], cache.step([0, 1], ties)) for i in range(3, S)]
        )
    torch.testing.assert_close(torch.stack(made[1]), torch.stack(made[0]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("config", CASES.values(), ids=CASES.keys())
@torch.inference_mode()
def test_masked_steps_equal_plain_ones_and_leave_waiting_rows_alone(config: LmConfig) -> None:
    lm, tokens = build(config), random_tokens(3)
    plain, masked = lm.new_cache(3), lm.new_cache(4)
    n_prefill, n_text = [5, 1, 9], [2, 1, 3]
    lengths, text_lengths = torch.tensor([*n_prefill, 0]), torch.tensor([*n_text, 1])
    for cache in (plain, masked):
        cache.reserve(S)
        for row in range(3):
            text = torch.ones(n_text[row], 32) if config.text_dim else None
            cache.begin(row, None if text is None else lm.project_text(text))
            logits_of(
                lm, tokens[row, None, :, : n_prefill[row]], cache.prefill(row, n_prefill[row])
            )
    for i in range(25):
        rows = [0, 2] if i == 7 else [0, 1, 2]
        now = torch.stack([tokens[row, :, int(lengths[row]), None] for row in range(3)])
        theirs = logits_of(lm, now[rows], plain.step(rows))
        memory = MaskedStep(masked, lengths, text_lengths, masked.n_slots)
        ours = logits_of(lm, torch.cat([now, now[:1]]), memory)[rows]
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)
        lengths[rows] += 1


@torch.inference_mode()
def test_a_window_bounds_the_memory() -> None:
    lm = build(CASES["rope window"])
    cache = lm.new_cache(1)
    cache.begin(0, None)
    logits_of(lm, random_tokens(1), cache.prefill(0, S))
    for _ in range(200):
        logits_of(lm, random_tokens(1)[:, :, :1], cache.step([0]))
    assert cache.n_slots == 4


def test_memory_grows_by_need() -> None:
    cache = build(CASES["rope"]).new_cache(2)
    sizes = []
    for n_steps in (1, 64, 65, 97, 500):
        cache.reserve(n_steps)
        sizes.append(cache.n_slots)
    assert sizes == [64, 64, 96, 128, 512]
