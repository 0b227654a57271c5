"""Bundle: all the models that one checkpoint needs, loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fanfare.nn.codec import Codec
from fanfare.nn.conditioning import Conditions
from fanfare.nn.config import LmConfig
from fanfare.nn.diffusion import MultiBandDiffusion
from fanfare.nn.lm import LanguageModel
from fanfare.nn.melody import chroma
from fanfare.nn.text import TextEncoder
from fanfare.weights.tensors import Left


@dataclass(frozen=True, eq=False)
class Bundle:
    """A language model with its codec and, where it takes text, its text encoder.

    Attributes:
        name: for people.
        source: the folder or file it was loaded from.
        lm: the language model.
        codec: audio to codes and back.
        text: the text encoder, for models that take text.
        diffusion: another way from codes to audio; float32.
        licence: of the weights, as an SPDX identifier; None = not stated in the files.
        extra: what else the checkpoint says of itself.
        left: weights of `lm` that stayed in their files, under its names; there they are on the
            meta device.
    """

    name: str
    source: Path
    lm: LanguageModel
    codec: Codec
    text: TextEncoder | None = None
    diffusion: MultiBandDiffusion | None = None
    licence: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    left: Mapping[str, Left] = field(default_factory=dict)

    @property
    def config(self) -> LmConfig:
        """Of the language model."""
        return self.lm.config

    def conditions(
        self,
        text: str | None = None,
        melody: Tensor | None = None,
        plan: Tensor | None = None,
        window_start_s: float | None = None,
        classes: Tensor | None = None,
    ) -> tuple[Conditions, Conditions | None]:
        """What to condition a request on, and the null condition if the two differ.

        Args:
            text: the prompt, for models that take text.
            melody: audio [C, N] at the model's sample rate, for models that take a melody.
            plan: features [T, F], for models that take a plan.
            window_start_s: where in a piece made in windows this one starts; a melody is then
                repeated for as long as the piece lasts. None = the piece is made at once.
            classes: chroma [M, n_chroma] in place of a melody's.
        """
        states = None if self.text is None else self.text.encode(text)
        if melody is not None:
            assert self.config.n_chroma is not None, f"{self.name} takes no melody"
            if window_start_s is not None:
                melody = self._repeated(melody, window_start_s)
            classes = chroma(melody, self.config.sample_rate_hz, self.config.n_chroma)
        conditions = self.lm.conditions(states, classes, plan)
        if states is None and classes is None and plan is None:
            return conditions, None
        return conditions, self.lm.null_conditions(conditions)

    def _repeated(self, melody: Tensor, start_s: float) -> Tensor:
        """The window of an endlessly repeated melody [C, N] that starts at `start_s`."""
        rate_hz = self.config.sample_rate_hz
        start, n_samples = int(start_s * rate_hz), int(self.config.max_duration_s * rate_hz)
        position = torch.arange(start, start + n_samples) % melody.shape[1]
        return melody[:, position]
