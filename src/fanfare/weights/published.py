"""The ten published MusicGen models by shape, so that they can be told of without their weights."""

from __future__ import annotations

from fanfare.nn.config import LmConfig

CARD = 2048
TEXT_DIM = 768  # of t5-base
HEAD_DIM = 64
N_CHROMA, CHROMA_LENGTH = 12, 235  # 30 s in hops of 4,096 samples

SIZES = {"small": (1024, 24), "medium": (1536, 48), "large": (2048, 48)}
"""Width and layers; the melody model without a size is a medium one."""


def _shape(size: str, *, melody: bool, stereo: bool) -> LmConfig:
    dim, n_layers = SIZES[size]
    channels = 2 if stereo else 1
    return LmConfig(
        n_codebooks=4 * channels,
        card=CARD,
        dim=dim,
        n_heads=dim // HEAD_DIM,
        n_layers=n_layers,
        ffn_dim=4 * dim,
        delays=tuple(book // channels for book in range(4 * channels)),
        text_dim=TEXT_DIM,
        text_fusion="prefix" if melody else "cross",
        n_chroma=N_CHROMA if melody else None,
        chroma_length=CHROMA_LENGTH if melody else None,
        channels=channels,
    )


def _shapes(prefix: str, *, stereo: bool) -> dict[str, LmConfig]:
    return {
        f"{prefix}small": _shape("small", melody=False, stereo=stereo),
        f"{prefix}medium": _shape("medium", melody=False, stereo=stereo),
        f"{prefix}large": _shape("large", melody=False, stereo=stereo),
        f"{prefix}melody": _shape("medium", melody=True, stereo=stereo),
        f"{prefix}melody-large": _shape("large", melody=True, stereo=stereo),
    }


PUBLISHED: dict[str, LmConfig] = {**_shapes("", stereo=False), **_shapes("stereo-", stereo=True)}
"""By the name behind "facebook/musicgen-" on the hub."""
