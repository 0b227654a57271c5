"""Distances between engines' distributions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import quality
from fanfare.engine.onnx_runner import OnnxModel, OnnxRunner
from fanfare.engine.torch_runner import TorchRunner
from fanfare.nn.conditioning import align_frames
from fanfare.nn.sampling import mix_guidance
from fanfare.weights.bundle import Bundle
from fanfare.weights.load import load_bundle
from tiny import write_checkpoint


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return load_bundle(write_checkpoint(tmp_path_factory.mktemp("plan") / "plan", "plan"))


@pytest.fixture(scope="module")
def pieces(bundle: Bundle) -> list[quality.Led]:
    return quality.led(bundle, quality.PROMPTS[:2], 1)


def test_the_prompts_are_twenty_at_least_and_differ() -> None:
    assert len(set(quality.PROMPTS)) == len(quality.PROMPTS) >= 20


@torch.inference_mode()
def test_steps_are_those_of_the_whole_sequence(bundle: Bundle, pieces: list[quality.Led]) -> None:
    found = quality.log_probabilities(TorchRunner(bundle.lm, 4), pieces)
    for piece, ours in zip(pieces, found, strict=True):
        tokens = piece.columns[None, :, :-1]
        assert piece.job.null is not None
        cond, null = (
            bundle.lm(tokens, frames=align_frames(side.frames, tokens.shape[2])[None])
            for side in (piece.job.conditions, piece.job.null)
            if side.frames is not None
        )
        mixed = mix_guidance(cond, null, piece.job.settings.guidance)[0]  # [K, S - 1, card]
        expected = torch.log_softmax(mixed, dim=-1).transpose(0, 1)
        torch.testing.assert_close(ours, expected, atol=2e-4, rtol=1e-4)


def test_float32_is_nearer_than_int8_and_that_than_int4(
    bundle: Bundle, pieces: list[quality.Led]
) -> None:
    drawn = quality.drawn_cells(pieces[0], bundle.config.special_token)
    reference = quality.log_probabilities(TorchRunner(bundle.lm, 4), pieces)
    means = []
    for precision in ("float32", "int8", "int4"):
        runner = OnnxRunner(OnnxModel(bundle.lm, precision), 4)
        found = quality.distances(quality.log_probabilities(runner, pieces), reference, drawn)
        means.append(sum(d.nats for d in found) / len(found))
    assert abs(means[0]) < 1e-5
    assert means[0] < means[1] < means[2]


def test_cells_that_hold_no_token_do_not_count(bundle: Bundle, pieces: list[quality.Led]) -> None:
    drawn = quality.drawn_cells(pieces[0], bundle.config.special_token)
    n_frames = pieces[0].job.n_frames
    assert drawn.shape == (n_frames + bundle.config.max_delay, bundle.config.n_codebooks)
    assert drawn.sum(dim=0).tolist() == [n_frames] * bundle.config.n_codebooks


def test_divergence_and_agreement_of_known_distributions() -> None:
    p, q = torch.tensor([0.5, 0.25, 0.25]), torch.tensor([0.25, 0.5, 0.25])
    reference, ours = p.log().view(1, 1, 1, 3), q.log().view(1, 1, 1, 3)
    drawn = torch.ones(1, 1, dtype=torch.bool)
    (far,) = quality.distances(ours, reference, drawn)
    assert far.nats == pytest.approx(0.25 * torch.log(torch.tensor(2.0)).item())
    assert far.same == 0
    (near,) = quality.distances(reference, reference, drawn)
    assert near == quality.Distance(0.0, 1.0)


def test_bfloat16_rounds_the_layers_alone(bundle: Bundle) -> None:
    low = quality.in_bfloat16(bundle.lm)
    assert low.dtype == torch.bfloat16
    assert bundle.lm.dtype == torch.float32
    assert {head.weight.dtype for head in low.heads} == {torch.float32}


def test_a_model_without_a_plan_is_refused(
    random_tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["quality.py", "--weights", str(random_tiny)])
    with pytest.raises(SystemExit, match="plan"):
        quality.run(quality.main)
