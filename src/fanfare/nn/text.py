"""TextEncoder: a prompt's words as vectors, through T5. L text length."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer
from torch import Tensor

from fanfare.nn.t5 import T5Encoder


class TextEncoder:
    """A T5 encoder with its tokenizer."""

    def __init__(self, model: T5Encoder, tokenizer: Tokenizer) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        # Files may ask for padding or truncation; one prompt at a time needs neither.
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return self.model.config.dim

    def narrow(self) -> None:
        """Keep matrices in float16, half as large; what is computed stays float32.

        Matrices that float16 can't hold stay as they are.
        """
        self.model.narrow()

    @torch.inference_mode()
    def encode(self, text: str | None) -> Tensor | None:
        """The last hidden states [L, dim] of `text`; None for no text or an empty one."""
        if not text:
            return None
        ids = self.tokenizer.encode(text).ids
        eos = self.model.config.eos_token
        if ids[-1:] != [eos]:
            ids.append(eos)
        tokens = torch.tensor([ids], device=self.model.shared.weight.device)  # [1, L]
        states: Tensor = self.model(tokens)
        return states[0]
