"""Every script runs to its line of JSON; sizes, pieces and pictures."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import torch

import common
import fanfare
import growth
import memory
import pictures
import pieces
import sizes

TINY = ("--weights", "random-tiny", "--device", "cpu", "--repeats", "1", "--duration", "1")


@pytest.mark.parametrize(
    ("name", "more", "unit"),
    [
        ("latency", (), "steps/s"),
        ("throughput", ("--pieces", "1", "2"), "steps/s"),
        ("codec", (), "× real"),
        ("growth", ("--durations", "--parts", "2"), "ms"),
        ("mbd", ("--size", "tiny", "--whole"), "× real"),
        ("peers", ("--only", "torch float32", "transformers float32"), "×"),
    ],
)
def test_a_script_prints_rows_and_ends_with_json(
    name: str,
    more: tuple[str, ...],
    unit: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", [f"{name}.py", *TINY, *more])
    importlib.import_module(name).main()
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert facts["bench"] == name
    assert unit in [row["unit"] for row in facts["rows"]]
    for row in facts["rows"]:
        assert 0 < row["low"] <= row["median"] <= row["high"], row
        assert row.get("limit", 1) > 0, row


def test_memory_counts_weights_in_the_engine_s_precision(random_tiny: Path) -> None:
    parser = common.options("", weights=str(random_tiny), device="cpu", duration=1)
    limits = []
    for dtype in ("int8", "float32"):
        args = parser.parse_args(["--engine", "onnxruntime", "--dtype", dtype])
        args.at_once = 1
        found = memory.measured(args)
        assert 0 < found["limit"] < found["whole"]
        limits.append(found["limit"])
    assert limits[0] < limits[1]


def test_random_models_have_published_parts_and_the_tiny_one_tiny_ones(random_tiny: Path) -> None:
    with torch.device("meta"):
        text, codec = sizes.published_text_encoder(), sizes.published_codec()
    assert sum(p.numel() for p in text.parameters()) == pytest.approx(110e6, rel=0.01)
    assert sum(p.numel() for p in codec.parameters()) == pytest.approx(57e6, rel=0.01)
    in_all = sum(file.stat().st_size for file in random_tiny.rglob("*") if file.is_file())
    assert in_all < 20e6


def test_a_size_that_nobody_published_is_refused(tmp_path: Path) -> None:
    with pytest.raises(fanfare.InputError, match="random-enormous"):
        sizes.weights_at("random-enormous", tmp_path)
    assert sizes.weights_at("epic-mini", tmp_path) == "epic-mini"


def test_a_piece_is_timed_in_parts(tiny_model: fanfare.Model) -> None:
    timing = pieces.timed(tiny_model, [pieces.request_for(seed, 1) for seed in range(2)])
    assert 0 < timing.loop_s < timing.whole_s
    n_steps = 50 + tiny_model.bundle.config.max_delay
    assert timing.steps_per_s * timing.loop_s == pytest.approx(n_steps - 1)


def test_parts_of_a_piece_cover_its_steps() -> None:
    assert growth.part_ends(103, 4) == [1, 25, 51, 77, 103]


def test_flat_is_within_fifteen_percent() -> None:
    assert growth.is_flat(0.86)
    assert growth.is_flat(1.14)
    assert not growth.is_flat(0.84)
    assert not growth.is_flat(1.16)
    assert growth.said(1.2) == "+20 % against 30 s: not flat"


def test_without_cuda_there_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as stopped:
        common.needs_cuda()
    assert stopped.value.code == common.NO_CUDA
    assert "\n" not in common.NO_CUDA


def facts_of(unit: str, **more: object) -> dict[str, object]:
    rows = [
        {"name": f"fanfare {n}, steps", "unit": each, "median": n, "low": n - 0.5, "high": n + 1.0,
         "limit": 2.0 * n, "duration_s": n, "pieces": n}
        for each in (unit, "MB")
        for n in range(1, 8)
    ]  # fmt: skip
    return {"weights": "random-tiny", "ran": "torch float32", "rows": rows, **more}


@pytest.mark.parametrize(
    ("name", "unit"), [("growth", "ms/s"), ("throughput", "steps/s"), ("peers", "steps/s")]
)
def test_pictures_are_small(name: str, unit: str, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    getattr(pictures, name)(facts_of(unit), path)
    made = path.read_bytes()
    assert made.startswith(b"\x89PNG")
    assert 2_000 < len(made) < 60_000
