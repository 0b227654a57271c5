"""The ONNX graph does what the torch model does, row by row, whoever else is there."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from fanfare.engine.onnx_runner import OnnxModel, OnnxRunner
from fanfare.nn.config import LmConfig
from fanfare.nn.lm import LanguageModel

BASE = {"n_codebooks": 4, "card": 48, "dim": 64, "n_heads": 2, "n_layers": 2, "ffn_dim": 128}
CONFIGS = {
    "cross": LmConfig(**BASE, delays=(0, 1, 2, 3), text_dim=16, text_fusion="cross"),
    "prefix": LmConfig(**BASE, delays=(0, 0, 1, 1), text_dim=16, text_fusion="prefix"),
    "window": LmConfig(
        **BASE, delays=(0, 1, 2, 3), positions="rope", past_context=24, plan_features=5
    ),
    "thin heads": LmConfig(**{**BASE, "n_heads": 4}, delays=(0, 1, 2, 3)),
}
N_STEPS = 400


def made(config: LmConfig) -> LanguageModel:
    torch.manual_seed(1)
    lm = LanguageModel(config)
    lm.initialise()
    for head in lm.heads:
        torch.nn.init.normal_(head.get_parameter("weight"), std=0.1)
    return lm.eval()


@torch.inference_mode()
def expected(lm: LanguageModel, tokens: Tensor, text: Tensor | None) -> Tensor:
    """Logits [S, K, card] of the whole sequence [K, S] at once."""
    logits = lm(tokens[None], cross=None if text is None else text[None])
    return logits[0].transpose(0, 1)


class Follower:
    """Feeds a runner a given sequence, and keeps what it answers."""

    def __init__(self, lm: LanguageModel, row: int, n_prefill: int, n_text: int) -> None:
        config = lm.config
        self.lm, self.row, self.at = lm, row, n_prefill
        self.tokens = torch.randint(0, config.card, (config.n_codebooks, N_STEPS))
        self.text = torch.randn(n_text, config.dim) if config.text_fusion == "cross" else None
        self.expected = expected(lm, self.tokens, self.text)
        self.n_prefill, self.answers = n_prefill, list[Tensor]()

    @torch.inference_mode()
    def embedded(self, start: int, stop: int) -> Tensor:
        return self.lm.embed(self.tokens[None, :, start:stop], None, None)

    def admit(self, runner: OnnxRunner) -> None:
        x = self.embedded(0, self.n_prefill)
        self.answers.append(runner.admit(self.row, x, self.text, N_STEPS))

    def difference(self) -> float:
        got = torch.stack(self.answers)
        start = self.n_prefill - 1
        return float((got - self.expected[start : start + len(got)]).abs().max())


def advance(runner: OnnxRunner, followers: list[Follower], n_steps: int) -> None:
    for _ in range(n_steps):
        x = torch.cat([f.embedded(f.at, f.at + 1) for f in followers])
        logits = runner.step([f.row for f in followers], x)
        for follower, answer in zip(followers, logits, strict=True):
            follower.answers.append(answer)
            follower.at += 1


@pytest.mark.parametrize("name", CONFIGS)
def test_rows_that_come_and_go_are_followed_exactly(name: str) -> None:
    lm = made(CONFIGS[name])
    runner = OnnxRunner(OnnxModel(lm, "float32"))
    a, b, c = Follower(lm, 7, 5, 3), Follower(lm, 2, 30, 20), Follower(lm, 4, 1, 1)
    a.admit(runner)
    advance(runner, [a], 3)
    b.admit(runner)
    advance(runner, [b, a], 40)  # in another order than they came
    c.admit(runner)
    advance(runner, [a, b, c], 5)
    runner.release(a.row)  # the last row moves into its place
    advance(runner, [b, c], 250)  # beyond the first buffers and three windows
    for follower in (a, b, c):
        assert follower.difference() < 2e-5, (name, follower.row)
    runner.release(b.row)  # as when whoever listened has left
    runner.release(c.row)
    runner.release(9)  # as when all is stopped before it began
    assert not runner.running
    again = Follower(lm, 0, 9, 4)
    again.admit(runner)
    advance(runner, [again], 3)
    assert again.difference() < 2e-5


@pytest.mark.parametrize(("precision", "largest"), [("int8", 0.002), ("int4", 0.06)])
@pytest.mark.parametrize("name", ["cross", "window"])
def test_few_bits_change_the_distributions_little(
    name: str, precision: str, largest: float
) -> None:
    lm = made(CONFIGS[name])
    runner = OnnxRunner(OnnxModel(lm, precision))
    follower = Follower(lm, 0, 10, 6)
    follower.admit(runner)
    advance(runner, [follower], 100)
    got = torch.stack(follower.answers).log_softmax(-1)
    right = follower.expected[9 : 9 + len(got)].log_softmax(-1)
    divergence = (right.exp() * (right - got)).sum(dim=-1).mean()
    assert 0 < float(divergence) < largest


def test_the_runner_needs_no_layers_of_the_model() -> None:
    lm = made(CONFIGS["cross"])
    runner = OnnxRunner(OnnxModel(lm, "int8"))
    assert runner.name == "onnxruntime int8"
    assert len(runner.lm.layers) == 0
    assert len(lm.layers) == 2
    assert runner.lm.text_proj is lm.text_proj


@pytest.mark.parametrize("precision", ["float32", "int8", "int4"])
def test_a_row_is_bitwise_the_same_alone_and_in_company(precision: str) -> None:
    lm = made(CONFIGS["cross"])
    model = OnnxModel(lm, precision)
    alone, crowd = OnnxRunner(model), OnnxRunner(model)
    followers = [Follower(lm, row, 4 + row, 3) for row in range(7)]
    for follower in followers:
        follower.admit(crowd)
    advance(crowd, followers, 20)
    for follower in followers[::3]:
        answers, follower.answers, follower.at = follower.answers, [], follower.n_prefill
        follower.admit(alone)
        advance(alone, [follower], 20)
        alone.release(follower.row)
        assert torch.equal(torch.stack(answers), torch.stack(follower.answers)), follower.row


def test_a_row_can_start_anew_in_its_place() -> None:
    lm = made(CONFIGS["prefix"])
    runner = OnnxRunner(OnnxModel(lm, "float32"))
    first, second = Follower(lm, 0, 8, 1), Follower(lm, 1, 3, 1)
    first.admit(runner)
    second.admit(runner)
    advance(runner, [first, second], 4)
    again = Follower(lm, 0, 12, 1)
    again.admit(runner)
    advance(runner, [again, second], 6)
    assert max(again.difference(), second.difference()) < 2e-5
