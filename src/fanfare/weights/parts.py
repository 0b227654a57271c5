"""Parts: where the models lie that a checkpoint may only name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Parts:
    """Where a checkpoint's other models lie, in place of those it holds or names."""

    text_encoder: Path | None = None
    codec: Path | None = None
    diffusion: Path | None = None
