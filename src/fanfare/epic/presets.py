"""How large and how long: for a GPU lent for half an hour, for two CPU cores, for a rehearsal."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fanfare.epic.train_codec import CodecRecipe
from fanfare.epic.train_diffusion import DiffusionRecipe
from fanfare.epic.train_lm import LmRecipe

PIECE_FRAMES = 768
"""15.4 s."""


@dataclass(frozen=True)
class Preset:
    """A training run.

    Attributes:
        device: that trains.
        slots: pieces at hand while the codec trains; they are renewed as long as a GPU plays them.
        lm_slots: the same for the language model, which needs no audio of them.
        start_with: pieces that a GPU waits for before it starts.
        heldout: pieces that the gate judges by.
        workers: processes that render or compose.
        team: processes that train the language model together on a CPU.
    """

    device: str
    slots: int
    lm_slots: int
    start_with: int
    heldout: int
    workers: int
    team: int
    codec: CodecRecipe
    lm: LmRecipe
    diffusion: DiffusionRecipe
    n_frames: int = PIECE_FRAMES


H200 = Preset(
    device="cuda", slots=6000, lm_slots=24000, start_with=768, heldout=64, workers=14, team=1,
    codec=CodecRecipe(
        minutes=5.6, batch=96, warmup_steps=300, adversary_width=16, adversary_rows=24,
        polish_minutes=1.8, polish_excerpts=3000, refresh_steps=3, checkpoint_minutes=1.5,
        figures_steps=100,
    ),
    lm=LmRecipe(
        minutes=9.8, dim=288, n_layers=6, n_heads=4, batch=128, adam_lr=1.5e-3,
        muon_lr=0.01, gate_minutes=1.0, checkpoint_minutes=1.5, refresh_steps=3, figures_steps=100,
    ),
    diffusion=DiffusionRecipe(
        minutes=3.3, batch=48, peak_lr=1e-3, checkpoint_minutes=1.5, refresh_steps=4,
        figures_steps=100,
    ),
)  # fmt: skip
"""One H200 with 16 cores: three commands of less than ten minutes."""

CPU = Preset(
    device="cpu", slots=3200, lm_slots=3200, start_with=3200, heldout=64, workers=2, team=2,
    codec=CodecRecipe(
        minutes=26.0, adversary_rows=2, polish_minutes=12.0, polish_adversary_from=0.4
    ),
    lm=LmRecipe(minutes=58.0),
    diffusion=DiffusionRecipe(minutes=0.0),
)  # fmt: skip
"""Two cores: 110 minutes, rendering and turning into codes included; no band models."""

ONWARD = replace(
    CPU,
    codec=replace(
        CPU.codec, minutes=0.0, polish_minutes=38.0, polish_lr_share=0.7,
        polish_adversary_from=0.45, batch=12,
    ),
    lm=replace(
        CPU.lm, minutes=54.0, adam_lr=8e-4, muon_lr=0.005, temperatures=(0.85, 0.7, 0.5, 0.4)
    ),
)  # fmt: skip
"""For going on from a checkpoint: decoder and language model at lower rates."""

REHEARSAL = replace(
    H200,
    device="cpu", slots=24, lm_slots=24, start_with=24, heldout=4, workers=2, n_frames=320,
    codec=replace(
        H200.codec, minutes=0.35, batch=4, crop_frames=32, warmup_steps=6, adversary_width=4,
        polish_minutes=0.15, polish_excerpts=140, checkpoint_minutes=0.2, figures_steps=5,
    ),
    lm=replace(
        H200.lm, minutes=0.5, batch=2, crop_frames=96, gate_minutes=0.3, checkpoint_minutes=0.2,
        figures_steps=5,
    ),
    diffusion=replace(
        H200.diffusion, minutes=0.25, batch=1, crop_frames=16, checkpoint_minutes=0.2,
        figures_steps=5,
    ),
)  # fmt: skip
"""The H200's run at a hundredth of its size, on a CPU: the same networks, minutes of it."""

CHECK = replace(
    REHEARSAL,
    device="cuda", slots=48, lm_slots=48, start_with=32, heldout=16, workers=8,
    codec=replace(REHEARSAL.codec, minutes=0.15, polish_minutes=0.08, batch=16),
    lm=replace(REHEARSAL.lm, minutes=0.15, batch=16, gate_minutes=0.05),
    diffusion=replace(REHEARSAL.diffusion, minutes=0.08, batch=8),
)  # fmt: skip
"""Every stage for some seconds, on the GPU: to find out what doesn't run there, first."""

PRESETS = {
    "h200": H200, "cpu": CPU, "onward": ONWARD, "rehearsal": REHEARSAL, "check": CHECK,
}  # fmt: skip
