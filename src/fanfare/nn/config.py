"""LmConfig: the shape of a language model, and nothing about how it is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Literal, Self

from fanfare.errors import shorten

LIMITS: dict[str, tuple[int, int]] = {
    "n_codebooks": (1, 64),
    "card": (1, 2**20),
    "dim": (2, 2**16),
    "n_heads": (1, 1024),
    "n_layers": (1, 1024),
    "ffn_dim": (1, 2**20),
    "past_context": (1, 2**30),
    "text_dim": (1, 2**16),
    "n_chroma": (1, 1024),
    "chroma_length": (1, 2**16),
    "plan_features": (1, 2**16),
    "plan_context": (0, 1024),
    "channels": (1, 2),
    "frame_rate_hz": (1, 10_000),
    "sample_rate_hz": (1, 1_000_000),
}
"""Smallest and largest value that makes sense: files may say anything."""

MAX_DELAY = 4096


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
            ValueError: a field is of no sensible size, or two contradict each other.
        """
        self._check_sizes()
        checks = (
            (len(self.delays) == self.n_codebooks, "delays needs one entry per codebook"),
            (
                all(type(delay) is int and 0 <= delay <= MAX_DELAY for delay in self.delays),
                f"delays are whole numbers from 0 to {MAX_DELAY}",
            ),
            (_is_number(self.max_period, 1.0, 1e12), "max_period is at least 1"),
            (_is_number(self.max_duration_s, 0.0, 1e6), "max_duration_s is some seconds"),
            (self.dim % self.n_heads == 0, "dim isn't a multiple of n_heads"),
            (self.dim % 2 == 0 and self.head_dim % 2 == 0, "dim and the head width must be even"),
            (self.positions in ("sin", "rope"), 'positions is "sin" or "rope"'),
            (self.positions == "rope" or self.dim >= 4, "dim is at least 4"),
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
                raise ValueError(f"language model config: {complaint} ({shorten(self, 500)})")

    def _check_sizes(self) -> None:
        for field in fields(self):
            low, high = LIMITS.get(field.name, (0, 0))
            value = getattr(self, field.name)
            if not high or (value is None and field.default is None):
                continue
            if type(value) is not int or not low <= value <= high:
                raise ValueError(
                    f"language model config: {field.name} must be a whole number"
                    f" from {low} to {high}"
                )

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
            ValueError: a key is unknown or missing, or the values contradict each other.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ValueError(f"language model config: unknown keys {', '.join(unknown)}")
        missing = sorted(
            field.name for field in fields(cls) if field.default is MISSING
            and field.name not in values
        )  # fmt: skip
        if missing:
            raise ValueError(f"language model config: {', '.join(missing)} missing")
        if not isinstance(values["delays"], list | tuple):
            raise ValueError("language model config: delays is a list")
        return cls(**{**values, "delays": tuple(values["delays"])})


def _is_number(value: object, low: float, high: float) -> bool:
    return type(value) in (int, float) and low <= value <= high  # type: ignore[operator]
