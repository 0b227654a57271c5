"""How the packages are compared."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import torch

import fanfare
import peers
import theirs
from pieces import Timing
from sizes import TINY


def contender(name: str, log: list[str]) -> peers.Contender:
    def load() -> peers.Running:
        log.append(f"load {name}")

        def make(seed: int) -> Timing:
            log.append(f"{name} {seed}")
            return Timing(float(seed + 1), 1.0, 2.0)

        return peers.Running(make, 100.0)

    return peers.Contender(name, "float32", load)


def arguments(**changed: object) -> argparse.Namespace:
    usual = {"weights": "random-tiny", "device": "cpu", "duration": 1, "only": []}
    return argparse.Namespace(**usual | changed)


def test_contenders_take_turns_each_after_a_piece_that_warms_up() -> None:
    log: list[str] = []
    some = [contender("a", log), contender("b", log)]
    timings, most = peers.alternating(some, 2, apart=False)
    assert log == ["load a", "a 2", "a 0", "load b", "b 2", "b 0", "a 1", "b 1"]
    assert [t.steps_per_s for t in timings["b"]] == [1.0, 2.0]
    assert most == {"a": 100.0, "b": 100.0}


def test_those_that_do_not_fit_are_loaded_anew_and_warmed_up_again() -> None:
    log: list[str] = []
    some = [contender("a", log), contender("b", log)]
    peers.alternating(some, 2, apart=True)
    assert log[:3] == ["load a", "a 2", "a 0"]
    assert log[6:9] == ["load a", "a 3", "a 1"]


def test_memory_decides_whether_they_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    some = [contender("a", [])] * 2
    monkeypatch.setattr(peers, "available_bytes", lambda _: 3e9)
    assert peers.fit_together(some, TINY, torch.device("cpu"))
    monkeypatch.setattr(peers, "available_bytes", lambda _: 2e9)
    assert not peers.fit_together(some, TINY, torch.device("cpu"))


def test_every_precision_of_a_cpu_is_compared() -> None:
    names = [one.name for one in peers.contenders(arguments(), "nowhere")]
    assert names == [
        "fanfare torch float32",
        "fanfare torch bfloat16",
        "fanfare onnxruntime float32",
        "fanfare onnxruntime int8",
        "fanfare onnxruntime int4",
        "transformers float32",
        "transformers bfloat16",
    ]
    some = peers.contenders(arguments(only=["int8", "transformers"]), "nowhere")
    assert [one.dtype for one in some] == ["int8", "float32", "bfloat16"]
    with pytest.raises(fanfare.InputError, match="nobody"):
        peers.contenders(arguments(only=["nobody"]), "nowhere")


def test_ours_know_their_limit(random_tiny: Path) -> None:
    running = peers.ours(arguments(), random_tiny, "onnxruntime", "int8").load()
    timing = running.make(0)
    assert running.most is not None
    assert 0 < timing.loop_s < timing.whole_s
    assert timing.steps_per_s == pytest.approx((50 + TINY.max_delay - 1) / timing.loop_s)


def test_transformers_makes_as_many_steps_as_we_do() -> None:
    timing = theirs.transformers_maker(arguments(), "bfloat16")(0)
    assert 0 < timing.loop_s < timing.whole_s
    assert timing.steps_per_s == pytest.approx((50 + TINY.max_delay - 1) / timing.loop_s)
    peer = theirs.random_peer("random-tiny", torch.bfloat16)
    assert {p.dtype for p in peer.decoder.parameters()} == {torch.bfloat16}
    assert torch.get_default_dtype() == torch.float32


def test_a_loop_that_ends_early_is_no_measurement() -> None:
    clock = theirs.Clock(torch.device("cpu"), 3)
    scores = torch.zeros(1)
    for _ in range(2):
        assert clock(scores, scores) is scores
    with pytest.raises(AssertionError):
        clock.timing(1.0)
    clock(scores, scores)
    assert clock.timing(1.0).loop_s == clock.last_s - clock.first_s
