"""The packages that MusicGen was published with, as their documentation shows them, timed.

Steps are timed by a logits processor, which `generate` calls in each; it changes nothing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import sizes
from common import PROMPT
from fanfare.nn.config import LmConfig
from pieces import Timing
from timing import seconds, wait

Maker = Callable[[int], Timing]

TOP_K, GUIDANCE = 250, 3.0
N_WORDS = len(PROMPT.split())


class Clock:
    """Notes when the first step of a loop and when the last one was made."""

    def __init__(self, device: torch.device, n_steps: int) -> None:
        self.device, self.n_steps = device, n_steps
        self.n_made, self.first_s, self.last_s = 0, 0.0, 0.0

    def __call__(self, ids: Tensor, scores: Tensor) -> Tensor:
        """As transformers calls its logits processors."""
        self.n_made += 1
        if self.n_made in (1, self.n_steps):
            wait(self.device)
            self.last_s = time.perf_counter()
            self.first_s = self.first_s or self.last_s
        return scores

    def timing(self, whole_s: float) -> Timing:
        """Of a loop that is at its end."""
        assert self.n_made == self.n_steps, (self.n_made, self.n_steps)
        loop_s = self.last_s - self.first_s
        return Timing((self.n_steps - 1) / loop_s, loop_s, whole_s)


def config_of(weights: str) -> LmConfig:
    """The shape of a model that is random or one of the published."""
    if weights.startswith(sizes.PREFIX):
        return sizes.config_of(weights)
    name = weights.rstrip("/").rpartition("musicgen-")[2]
    return sizes.PUBLISHED.get(name, sizes.PUBLISHED["large"])


def random_peer(weights: str, dtype: torch.dtype) -> Any:
    """transformers' MusicGen of the size that a name means, with random weights."""
    from transformers import MusicgenConfig, MusicgenForConditionalGeneration
    from transformers.models.musicgen import MusicgenDecoderConfig

    config = sizes.config_of(weights)
    decoder = MusicgenDecoderConfig(
        vocab_size=config.card, hidden_size=config.dim, ffn_dim=config.ffn_dim,
        num_hidden_layers=config.n_layers, num_attention_heads=config.n_heads,
        num_codebooks=config.n_codebooks, pad_token_id=config.card, bos_token_id=config.card,
        max_position_embeddings=2048,
    )  # fmt: skip
    codec, text = (part.config.to_dict() for part in sizes.parts_of(weights))
    whole = MusicgenConfig(text_encoder=text, audio_encoder=codec, decoder=decoder.to_dict())
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)  # built in float32 first, a large one would need more memory
    try:
        return MusicgenForConditionalGeneration(whole)
    finally:
        torch.set_default_dtype(usual)


def transformers_maker(args: argparse.Namespace, dtype: str) -> Maker:
    """As `generate` of its documentation."""
    from transformers import MusicgenForConditionalGeneration
    from transformers.utils import logging

    logging.set_verbosity_error()
    device, kind = torch.device(args.device), getattr(torch, dtype)
    if args.weights.startswith(sizes.PREFIX):
        peer = random_peer(args.weights, kind)
    else:
        peer = MusicgenForConditionalGeneration.from_pretrained(args.weights, dtype=kind)
    peer = peer.to(device, kind).eval()
    decoder = peer.config.decoder
    ids = torch.arange(N_WORDS, device=device)[None] % peer.config.text_encoder.vocab_size
    mask = torch.ones_like(ids)
    n_steps = args.duration * peer.config.audio_encoder.frame_rate + decoder.num_codebooks - 1

    def make(seed: int) -> Timing:
        torch.manual_seed(seed)
        clock = Clock(device, n_steps)

        def whole() -> None:
            with torch.inference_mode():
                wav = peer.generate(
                    input_ids=ids, attention_mask=mask, do_sample=True, top_k=TOP_K,
                    guidance_scale=GUIDANCE, max_new_tokens=n_steps, min_new_tokens=n_steps,
                    logits_processor=[clock],
                )  # fmt: skip
            wav.float().cpu()

        return clock.timing(seconds(whole, device))

    return make


def audiocraft_maker(args: argparse.Namespace) -> Maker:
    """As its documentation shows; its loop is timed as a whole."""
    from audiocraft.models import MusicGen

    device = torch.device(args.device)
    peer = MusicGen.get_pretrained(args.weights, device=args.device)
    peer.set_generation_params(duration=args.duration, top_k=TOP_K, cfg_coef=GUIDANCE)
    n_steps = args.duration * peer.frame_rate + peer.lm.num_codebooks - 1

    def make(seed: int) -> Timing:
        torch.manual_seed(seed)
        made: list[Tensor] = []
        attributes = peer._prepare_tokens_and_attributes([PROMPT], None)[0]
        loop_s = seconds(lambda: made.append(peer._generate_tokens(attributes, None)), device)
        decode_s = seconds(lambda: peer.generate_audio(made[0]).cpu(), device)
        return Timing(n_steps / loop_s, loop_s, loop_s + decode_s)

    return make
