"""The whole chain: pieces stream in, stages stop and go on, and what is left loads."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import fanfare
from fanfare.epic import bank as bank_file
from fanfare.epic import carry, pool, recipe, train_codec, train_diffusion, train_lm
from fanfare.epic.bank import Bank, Region
from fanfare.epic.clock import Deadline
from fanfare.epic.corpus import piece
from fanfare.epic.layout import LAYOUT_2
from fanfare.epic.palette import VOICES
from fanfare.epic.plan import plan_of
from fanfare.epic.player import Player
from fanfare.epic.pool import Pool, Size
from fanfare.epic.presets import PRESETS, REHEARSAL
from fanfare.epic.voices import voices
from fanfare.errors import CheckpointError
from fanfare.nn.lapped import LappedConfig
from tiny import write_checkpoint

SLOTS, FRAMES = 3, 60
SHAPE = LappedConfig(
    32000, 640, 1, width=16, encoder_blocks=1, decoder_blocks=1, encoder_hidden=24,
    decoder_hidden=24,
)  # fmt: skip


class Clock:
    """Counts how often it is asked, so that a busy machine trains as long."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        self.now_s += 0.1
        return self.now_s


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All instruments are one sine."""
    t = np.arange(4000, dtype=np.float32)
    region = Region(0, 127, 0, 4000, 32000.0, 69.0, loop_start=2000.0)
    path = tmp_path_factory.mktemp("bank") / "x.bank"
    names = [*VOICES, "timpani", "snare", "cymbals", "shaker"]
    sine = 0.5 * np.sin(t / 8).astype(np.float32)
    bank_file.save(
        Bank(np.r_[sine, np.zeros(8, np.float32)], dict.fromkeys(names, (region,))), path
    )
    return path


@pytest.fixture
def _fast(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing synthesised, nothing compiled, no other process, time by the step."""
    monkeypatch.setattr(pool, "open_bank", bank_file.load)
    monkeypatch.setattr(train_lm.torch, "compile", lambda model, dynamic: model)
    clock = Clock()
    for module in (train_codec, train_lm, train_diffusion):
        monkeypatch.setattr(module, "time", clock)

    def render(self: Pool, n: int) -> None:
        threads = torch.get_num_threads()
        pool._render_into(self._folder, self._bank, self._seed, 0, n, self.layout)
        torch.set_num_threads(threads)
        (self._folder / pool.NOTE).write_text(self._note(n))

    monkeypatch.setattr(Pool, "_render", render)
    return


def small() -> recipe.Preset:
    return replace(
        REHEARSAL, slots=SLOTS, lm_slots=SLOTS, start_with=SLOTS, heldout=1, workers=1, team=1,
        n_frames=FRAMES,
        codec=replace(
            REHEARSAL.codec, minutes=0.02, polish_minutes=0.01, shape=SHAPE, adversary_width=2,
            polish_excerpts=200, crop_frames=12, checkpoint_minutes=0.0,
        ),
        lm=replace(
            REHEARSAL.lm, minutes=0.02, dim=32, n_layers=1, n_heads=2, past_context=24, batch=2,
            crop_frames=20,
        ),
        diffusion=replace(
            REHEARSAL.diffusion, minutes=0.01, hidden=4, depth=3, batch=1, crop_frames=8,
        ),
    )  # fmt: skip


@pytest.mark.usefixtures("_fast")
def test_the_recipe_runs_stage_by_stage_and_leaves_a_model(bank: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with recipe.Run(folder, small(), bank, Deadline(0.0)) as run:
        assert recipe.go(run) == "codec"  # there was no time
    with recipe.Run(folder, small(), bank) as run:
        assert recipe.go(run) == ""
    steps = {name: torch.load(folder / f"{name}.pt")["step"] for name in recipe.STAGES}
    with recipe.Run(folder, small(), bank) as run:
        assert recipe.go(run) == ""  # nothing is left to do
        assert run.pieces is None
        carried = carry.pack(run.state(), tmp_path / "out")
    assert steps == {name: torch.load(folder / f"{name}.pt")["step"] for name in recipe.STAGES}
    assert len(carried) == 1
    recipe.resume(tmp_path / "out", tmp_path / "elsewhere")
    with recipe.Run(tmp_path / "elsewhere", small(), bank) as run:
        assert recipe.go(run) == ""
        recipe.export(run, tmp_path / "again")
        assert run.pieces is None
    card = (tmp_path / "again" / "MODEL_CARD.md").read_text()
    assert "6 × 1,024 codes, 3 kbit/s" in card
    assert "nats per book" in card
    model = fanfare.load(tmp_path / "again")
    assert model.bundle.extra["plan"] == LAYOUT_2.to_json()
    audio = model.generate(prompt="dark choir", duration=1, seed=1, multi_band_diffusion=True)
    assert audio.samples.shape == (1, 32000)
    assert np.isfinite(audio.samples).all()


@pytest.mark.usefixtures("_fast")
def test_a_checkpoint_is_gone_on_from(bank: Path, tmp_path: Path) -> None:
    """Its codes stay what they are, its language model isn't begun anew, its decoder is another."""
    preset = replace(small(), codec=replace(small().codec, minutes=0.0, polish_minutes=0.02))
    first = fanfare.load("epic-mini").bundle
    with recipe.Run(tmp_path / "run", preset, bank, onward=first.source) as run:
        run.preset = replace(
            run.preset, lm=replace(run.preset.lm, minutes=0.002, muon_lr=1e-9, adam_lr=1e-9)
        )
        assert recipe.go(run) == ""
        recipe.export(run, tmp_path / "second")
    assert "EnCodec" in (tmp_path / "second" / "MODEL_CARD.md").read_text()
    second = fanfare.load(tmp_path / "second")
    wav = 0.1 * torch.randn(1, 1, 32000)
    assert torch.equal(second.bundle.codec.encode(wav), first.codec.encode(wav))
    assert second.bundle.codec.model.config.decoder_blocks == SHAPE.decoder_blocks
    for name, weights in first.lm.named_parameters():
        if name.startswith("layers."):
            assert torch.allclose(second.bundle.lm.get_parameter(name), weights, atol=2e-3), name
    assert second.bundle.extra["plan"] == LAYOUT_2.to_json()
    assert np.isfinite(second.generate(prompt="dark choir", duration=1, seed=1).samples).all()


def test_what_plays_from_no_plan_is_not_gone_on_from(bank: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="plays from no plan"):
        recipe.Run(tmp_path / "run", small(), bank, onward=write_checkpoint(tmp_path / "m", "text"))


@pytest.mark.usefixtures("_fast")
def test_pieces_stream_in_and_replace_the_oldest(
    bank: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Here:
        """Composers in this process."""

        def __init__(self, sounds, seed, n_frames, workers, layout):  # type: ignore[no-untyped-def]
            self.seed, self.n_frames, self.layout = seed, n_frames, layout
            self.table = Bank(np.zeros(0, np.float32), sounds)

        def batch(self, *, wait: bool):  # type: ignore[no-untyped-def]
            scores = [piece(self.seed + i, self.n_frames) for i in range(2)]
            self.seed += 2
            return [
                (voices(s, self.table), plan_of(s, self.layout).astype(np.float16)) for s in scores
            ]

        def stop(self) -> None: ...

    monkeypatch.setattr(pool, "_Composers", Here)
    size = Size(SLOTS, FRAMES, 4)
    with Pool(size, bank, device=torch.device("cpu"), workers=1, seed=50, streams=True) as pieces:
        pieces.fill()
        assert (pieces.n_filled, pieces.n_made) == (3, 4)
        pieces.encode_with(lambda wavs: (wavs[:, None, :FRAMES] * 1000).expand(-1, 4, -1))
        pieces.refresh()
        assert pieces.n_made == 6
        player = Player(bank_file.load(bank))
        for seed in (53, 54, 55):
            wav = player.render(piece(seed, FRAMES))
            slot = (seed - 50) % SLOTS
            np.testing.assert_allclose(pieces.wavs[slot].numpy() / 32767, wav, atol=1e-4)
            expected = plan_of(piece(seed, FRAMES), LAYOUT_2)
            np.testing.assert_allclose(pieces.plans[slot].float().numpy(), expected, atol=1e-3)
        made = pieces.codes[1, 0].float()
        torch.testing.assert_close(made, wav_of(pieces, 1) * 1000, atol=1.1, rtol=0)
        folder = pieces.path("wavs").parent
    assert not folder.exists()


def wav_of(pieces: Pool, slot: int) -> torch.Tensor:
    return pieces.wavs[slot, :FRAMES].float() / 32767


def test_state_travels_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carry, "PART_BYTES", 1000)
    state = {"lm": {"model": {"w": torch.randn(20, 30), "b": torch.randn(9)}, "step": 3}}
    paths = carry.pack(state, tmp_path)
    assert len(paths) > 1
    again = carry.floated(carry.unpack(tmp_path))
    assert again["lm"]["step"] == 3
    torch.testing.assert_close(again["lm"]["model"]["b"], state["lm"]["model"]["b"])
    torch.testing.assert_close(
        again["lm"]["model"]["w"], state["lm"]["model"]["w"], atol=2e-3, rtol=0
    )
    paths[0].unlink()
    with pytest.raises(ValueError, match="parts"):
        carry.unpack(tmp_path)
    assert carry.unpack(tmp_path / "none") is None
    with pytest.raises(ValueError, match="MiB"):
        carry.pack({"w": torch.randn(100, 100)}, tmp_path / "more")


def test_presets_leave_room_in_their_time() -> None:
    for name, limit in (("h200", 24.0), ("cpu", 140.0), ("rehearsal", 2.0)):
        preset = PRESETS[name]
        minutes = (
            preset.codec.minutes + preset.codec.polish_minutes + preset.lm.minutes
            + preset.diffusion.minutes
        )  # fmt: skip
        assert minutes <= limit, name
        assert preset.codec.n_codebooks == preset.lm.n_codebooks


def test_training_needs_nothing_but_torch_numpy_and_safetensors() -> None:
    lacking = (
        "pydantic", "soundfile", "av", "soxr", "mutagen", "typer", "rich", "onnx", "onnxruntime",
        "httpx2",
    )  # fmt: skip
    code = (
        "import sys\n"
        f"for name in {lacking!r}: sys.modules[name] = None\n"
        "import fanfare.epic.recipe, fanfare.epic.pool, fanfare.epic.train_diffusion\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.usefixtures("_fast")
def test_rendered_pieces_outlive_a_command(
    bank: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def filled(slots: int, kept_in: Path | None) -> torch.Tensor:
        size = Size(slots, FRAMES, 4)
        with Pool(size, bank, device=torch.device("cpu"), workers=1, kept_in=kept_in) as pieces:
            pieces.fill()
            return pieces.wavs.clone()

    first = filled(2, tmp_path / "pieces")
    assert torch.equal(filled(3, None)[:2], first)
    more = filled(3, tmp_path / "pieces")  # not those that are there
    assert torch.equal(more[:2], first)
    monkeypatch.setattr(Pool, "_render", lambda self, n: pytest.fail("rendered again"))
    assert torch.equal(filled(3, tmp_path / "pieces"), more)
