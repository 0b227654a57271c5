"""How fast are the packages that MusicGen was published with, on this machine and in this run?

All make the same: a piece of the same length with guidance, from a model of the same size. A step
reads all weights once (MusicGen small: 1.4 GB in float32) and the caches of two rows; the limit
printed is that of the steps. Whoever has a limit in common can be compared by what he makes of it.

Weights are random numbers of the published size, which are as fast as real ones; with --weights
facebook/musicgen-small (or a folder in transformers' layout) all load those. Runs alternate, so
that what else the machine does falls on all alike. transformers' MusicGen is what its documentation
shows: `generate` with a cache. audiocraft takes part where it can be imported and real weights
are given, since it can't be built without them.

Prints a table and ends with one line of JSON.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable

import torch

import fanfare
from common import (
    PROMPT,
    ROWS_PER_PIECE,
    Report,
    limits,
    mean_length,
    opened,
    options,
    published_codec,
    run,
    seconds,
    step_cost,
)
from fanfare.nn.config import LmConfig

Maker = Callable[[int], object]
"""Makes a piece from a seed."""

TEXT_IDS = list(range(1, 9))


def random_peer(config: LmConfig) -> object:
    """transformers' MusicGen of the same size, with random weights and a tiny text encoder."""
    from transformers import MusicgenConfig, MusicgenForConditionalGeneration
    from transformers.models.musicgen import MusicgenDecoderConfig

    from load import small_text_encoder

    decoder = MusicgenDecoderConfig(
        vocab_size=config.card, hidden_size=config.dim, ffn_dim=config.ffn_dim,
        num_hidden_layers=config.n_layers, num_attention_heads=config.n_heads,
        num_codebooks=config.n_codebooks, pad_token_id=config.card, bos_token_id=config.card,
        max_position_embeddings=2048,
    )  # fmt: skip
    parts = (small_text_encoder().config, published_codec().config, decoder)
    text, codec, decoder_config = (part.to_dict() for part in parts)
    whole = MusicgenConfig(text_encoder=text, audio_encoder=codec, decoder=decoder_config)
    return MusicgenForConditionalGeneration(whole)


def transformers_maker(args: argparse.Namespace, model: fanfare.Model) -> Maker:
    """As `generate` of its documentation."""
    from transformers import MusicgenForConditionalGeneration
    from transformers.utils import logging

    logging.set_verbosity_error()

    lm = model.bundle.lm
    if args.weights.startswith("random-"):
        peer = random_peer(model.bundle.config)
    else:
        peer = MusicgenForConditionalGeneration.from_pretrained(args.weights)
    peer = peer.to(lm.device, lm.dtype).eval()
    ids = torch.tensor([TEXT_IDS], device=lm.device) % peer.config.text_encoder.vocab_size
    mask = torch.ones_like(ids)
    config = model.bundle.config
    n_steps = args.duration * config.frame_rate_hz + max(config.delays)

    def make(seed: int) -> object:
        torch.manual_seed(seed)
        with torch.inference_mode():
            return peer.generate(
                input_ids=ids, attention_mask=mask, do_sample=True, top_k=250, guidance_scale=3.0,
                max_new_tokens=n_steps, min_new_tokens=n_steps,
            )  # fmt: skip

    return make


def audiocraft_maker(args: argparse.Namespace, model: fanfare.Model) -> Maker:
    """As its documentation shows."""
    from audiocraft.models import MusicGen

    peer = MusicGen.get_pretrained(args.weights, device=str(model.bundle.lm.device))
    peer.set_generation_params(duration=args.duration, top_k=250, cfg_coef=3.0)

    def make(seed: int) -> object:
        torch.manual_seed(seed)
        return peer.generate([PROMPT])

    return make


def main() -> None:
    """Measure and print."""
    args = options(__doc__ or "", weights="random-small", repeats=3).parse_args()
    with opened(args) as model:
        lm, config = model.bundle.lm, model.bundle.config
        report = Report(__doc__ or "", args, lm.device)
        found = limits(lm.device, lm.dtype)
        report.limits(found)

        def ours(seed: int) -> object:
            return model.generate(prompt=PROMPT, seed=seed, duration=args.duration)

        makers: dict[str, Maker] = {f"fanfare ({args.engine})": ours}
        makers["transformers"] = transformers_maker(args, model)
        if importlib.util.find_spec("audiocraft") is None:
            print("audiocraft isn't installed: left out")
        elif args.weights.startswith("random-"):
            print("audiocraft needs real weights (--weights): left out")
        else:
            makers["audiocraft"] = audiocraft_maker(args, model)
        times: dict[str, list[float]] = {name: [] for name in makers}
        for seed in range(args.repeats + 1):
            for name, make in makers.items():
                took_s = seconds(lambda m=make, s=seed: m(s), lm.device)
                if seed:  # the first warms up
                    times[name].append(took_s)
        cost = step_cost(lm)
        n_frames = args.duration * config.frame_rate_hz
        moved = cost.bytes_at(ROWS_PER_PIECE, mean_length(config, n_frames))
        step_s = found.step_s(moved, cost.operations(ROWS_PER_PIECE))
        most = args.duration / ((n_frames + max(config.delays)) * step_s)
        for name, some in times.items():
            report.row(name, [args.duration / t for t in some], "× real", most)
        report.finish()


if __name__ == "__main__":
    run(main)
