"""TextEncoder: a prompt's words as vectors, through T5. L text length."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn.utils import parametrize
from transformers import T5EncoderModel

FLOAT16_MAX = 65504.0


class Widened(nn.Module):
    """A weight of few bits as one of float32, whenever it is asked for."""

    def forward(self, weight: Tensor) -> Tensor:
        """Of any shape to the same."""
        return weight.float()


class TextEncoder:
    """A T5 encoder with its tokenizer."""

    def __init__(self, model: T5EncoderModel, tokenizer: Tokenizer) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        # Files may ask for padding or truncation; one prompt at a time needs neither.
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return int(self.model.config.d_model)

    def narrow(self) -> None:
        """Keep matrices in float16, half as large; what is computed stays float32.

        Matrices that float16 can't hold stay as they are.
        """
        for module in self.model.modules():
            if not isinstance(module, nn.Linear | nn.Embedding):
                continue
            weight = module.weight
            if parametrize.is_parametrized(module) or float(weight.abs().max()) > FLOAT16_MAX:
                continue
            module.weight = nn.Parameter(weight.half(), requires_grad=False)
            parametrize.register_parametrization(module, "weight", Widened(), unsafe=True)

    @torch.inference_mode()
    def encode(self, text: str | None) -> Tensor | None:
        """The last hidden states [L, dim] of `text`; None for no text or an empty one."""
        if not text:
            return None
        ids = self.tokenizer.encode(text).ids
        eos = self.model.config.eos_token_id
        if ids[-1:] != [eos]:
            ids.append(eos)
        tokens = torch.tensor([ids], device=self.model.device)  # [1, L]
        states: Tensor = self.model(input_ids=tokens).last_hidden_state
        return states[0]
