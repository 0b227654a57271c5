"""LmConfig: the shape of a language model, and nothing about how it is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self


@dataclass(frozen=True)
class LmConfig:
    """What fixes the tensors of a `LanguageModel`.

    Attributes:
        n_codebooks: K, token streams per frame.
        card: codes per codebook; the id `card` itself is the special token (a hole).
        dim: D, width of the residual stream.
        n_heads: attention heads; `dim / n_heads` wide each.
        n_layers: transformer layers.
        ffn_dim: inner width of the feed-forward parts.
        delays: steps by which each codebook lags behind its frame, one per codebook.
        positions: "sin" adds an embedding to the input; "rope" rotates queries and keys.
        max_period: longest period of either kind of position, in steps.
        past_context: a step sees at most this many latest steps, itself included; None = all.
        text_dim: width of the text encoder's output; None = takes no text.
        text_fusion: "cross" = cross-attention, "prefix" = put before the first step.
        n_chroma: pitch classes of the melody condition; None = takes no melody.
        chroma_length: chroma frames put before the first step.
        plan_features: F, features per frame of a plan; None = takes no plan.
        plan_context: frames of the plan seen on either side of the present one.
        channels: audio channels of the model's output.
        frame_rate_hz: frames per second.
        sample_rate_hz: audio samples per second and channel.
        max_duration_s: longest piece seen in training.
    """

    n_codebooks: int
    card: int
    dim: int
    n_heads: int
    n_layers: int
    ffn_dim: int
    delays: tuple[int, ...]
    positions: Literal["sin", "rope"] = "sin"
    max_period: float = 10000.0
    past_context: int | None = None
    text_dim: int | None = None
    text_fusion: Literal["cross", "prefix"] | None = None
    n_chroma: int | None = None
    chroma_length: int | None = None
    plan_features: int | None = None
    plan_context: int = 4
    channels: int = 1
    frame_rate_hz: int = 50
    sample_rate_hz: int = 32000
    max_duration_s: float = 30.0

    def __post_init__(self) -> None:
        """Refuse shapes that can't be built.

        Raises:
            ValueError: two fields contradict each other.
        """
        checks = (
            (len(self.delays) == self.n_codebooks, "delays needs one entry per codebook"),
            (min(self.delays, default=-1) >= 0, "delays can't be negative"),
            (self.dim % self.n_heads == 0, "dim isn't a multiple of n_heads"),
            (self.dim % 2 == 0 and self.head_dim % 2 == 0, "dim and the head width must be even"),
            (self.positions in ("sin", "rope"), 'positions is "sin" or "rope"'),
            (self.past_context is None or self.past_context >= 1, "past_context is at least 1"),
            (self.text_fusion in (None, "cross", "prefix"), 'text_fusion is "cross" or "prefix"'),
            (
                (self.text_dim is None) == (self.text_fusion is None),
                "text_dim and text_fusion go together",
            ),
            (
                (self.n_chroma is None) == (self.chroma_length is None),
                "n_chroma and chroma_length go together",
            ),
        )
        for good, complaint in checks:
            if not good:
                raise ValueError(f"language model config: {complaint} ({self})")

    @property
    def special_token(self) -> int:
        """The id that fills holes of the delay pattern; never predicted."""
        return self.card

    @property
    def max_delay(self) -> int:
        """Steps by which the slowest codebook lags."""
        return max(self.delays)

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.dim // self.n_heads

    def n_steps(self, n_frames: int) -> int:
        """S, columns of the delayed sequence that holds `n_frames` frames."""
        return 1 + n_frames + self.max_delay

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**asdict(self), "delays": list(self.delays)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_dict`.

        Raises:
            ValueError: a key is unknown, or the values contradict each other.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"language model config: unknown keys {', '.join(unknown)}")
        return cls(**{**values, "delays": tuple(values["delays"])})
