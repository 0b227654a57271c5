"""Rules: which of the inputs a version of a model takes, and how much of each."""

from __future__ import annotations

from dataclasses import dataclass, replace

MAX_DURATION_S = 600
"""Longest piece where nobody sets another limit."""
MAX_PROMPT_CHARS = 4000


@dataclass(frozen=True)
class Rules:
    """What is narrower for some callers than `Inputs` itself.

    Attributes:
        fields: the inputs that there are, in their order; None = all that `Inputs` has.
        output_formats: what `output_format` may be, the default first.
        has_whole_guidance: whether `classifier_free_guidance` must be a whole number.
    """

    fields: tuple[str, ...] | None = None
    output_formats: tuple[str, ...] = ("wav", "mp3", "flac", "ogg")
    has_whole_guidance: bool = False
    max_duration_s: int = MAX_DURATION_S
    max_prompt_chars: int = MAX_PROMPT_CHARS

    def within(self, *, max_duration_s: int, max_prompt_chars: int = MAX_PROMPT_CHARS) -> Rules:
        """The same with the limits of a machine."""
        return replace(self, max_duration_s=max_duration_s, max_prompt_chars=max_prompt_chars)

    def has(self, field: str) -> bool:
        """Whether an input is one of these rules'."""
        return self.fields is None or field in self.fields


OWN = Rules()
"""All that Fanfare can: Python, the command line, and the versions of its own names."""

PUBLISHED = Rules(
    fields=(
        "prompt",
        "input_audio",
        "duration",
        "continuation",
        "continuation_start",
        "continuation_end",
        "multi_band_diffusion",
        "normalization_strategy",
        "top_k",
        "top_p",
        "temperature",
        "classifier_free_guidance",
        "output_format",
        "seed",
    ),
    output_formats=("wav", "mp3"),
    has_whole_guidance=True,
)
"""What the published predictor takes, and no more: a schema that its callers know."""
