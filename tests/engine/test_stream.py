"""Sound decoded while its codes come in: joined, it is what decoding all at once gives."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import fanfare
from fanfare.engine.stream import StreamDecoder
from fanfare.nn.codec import PART_FRAMES, Codec
from fanfare.nn.encodec import Encodec, EncodecConfig
from fanfare.nn.lapped import LappedCodec, LappedConfig
from fanfare.nn.overlap import reach_frames
from fanfare.nn.partials import PartialsConfig
from fanfare.weights.codec import load_codec_folder

GOLDEN = Path(__file__).parents[1] / "golden" / "encodec_32khz"
PUBLISHED = EncodecConfig(
    sample_rate_hz=32000, ratios=(8, 5, 4, 4), n_codebooks=6, card=64, latent_dim=16, n_filters=4,
    is_causal=False, has_conv_shortcut=False,
)  # fmt: skip
ROUNDING = 1e-5
"""Convolutions of other lengths add up in another order; samples are about 1."""


def golden() -> Codec:
    return load_codec_folder(GOLDEN, channels=1, n_codebooks=4, device="cpu")


def stereo() -> Codec:
    return load_codec_folder(GOLDEN, channels=2, n_codebooks=8, device="cpu")


def epic_mini() -> Codec:
    folder = Path(fanfare.__file__).parent / "builtin" / "epic-mini" / "codec"
    return load_codec_folder(folder, channels=1, n_codebooks=4, device="cpu")


def random_codec(**changes: Any) -> Codec:
    """A codec of another make, with weights that make sound within about 1."""
    torch.manual_seed(5)
    model = Encodec(replace(PUBLISHED, **changes)).eval()
    for layer in model.quantizer.layers:
        torch.nn.init.normal_(layer.codebook.embed)
    codec = Codec(model, books=4)
    level = codec.decode(codes_for(codec, 50)).abs().max()
    for parameter in model.decoder.layers[-1].parameters():
        parameter.data /= level
    return codec


def lapped(**changes: Any) -> Codec:
    """A codec of our own make, with random weights."""
    torch.manual_seed(6)
    config = LappedConfig(32000, 640, 4, card=64, width=24, decoder_blocks=3, decoder_hidden=32)
    model = LappedCodec(replace(config, **changes)).eval()
    for layer in model.quantizer.layers:
        torch.nn.init.normal_(layer.codebook.embed)
    model.decoder.layers[-1].level.fill_(0.2)
    return Codec(model)


CODECS = {
    "golden": golden,
    "stereo": stereo,
    "epic-mini": epic_mini,
    "constant": lambda: random_codec(pad_mode="constant"),
    "causal": lambda: random_codec(is_causal=True, trim_right_ratio=0.5),
    "dilated": lambda: random_codec(n_residual_layers=3, has_conv_shortcut=True),
    "lapped": lambda: lapped(),
    "lapped-far": lambda: lapped(kernel=9, lookahead=4, n_transforms=4),
    "lapped-partials": lambda: lapped(partials=PartialsConfig(n=20, hidden=16)),
    "odd-ratios": lambda: random_codec(ratios=(5, 3, 2), sample_rate_hz=30000),
}


def codes_for(codec: Codec, n_frames: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(n_frames)
    shape = (1, codec.n_codebooks, n_frames)
    return torch.randint(codec.card, shape, generator=generator)  # [1, K, T]


def streamed(codec: Codec, codes: torch.Tensor, lengths: list[int]) -> torch.Tensor:
    """Decode codes [K, T] in chunks of these lengths: [C, N]."""
    decoder = StreamDecoder(codec)
    chunks = [decoder.push(part) for part in codes.split(lengths, dim=1)]
    return torch.cat([*chunks, decoder.finish()], dim=1)


def random_lengths(n_frames: int, longest: int, rng: random.Random) -> list[int]:
    """Lengths that add up to `n_frames`; some chunks are empty."""
    lengths: list[int] = []
    while sum(lengths) < n_frames:
        lengths.append(min(rng.randint(0, longest), n_frames - sum(lengths)))
    return lengths


@pytest.mark.parametrize("name", CODECS)
def test_any_chunks_join_to_the_offline_decode(name: str) -> None:
    codec, rng = CODECS[name](), random.Random(name)
    for n_frames, longest in [(1, 1), (2, 2), (3, 1), (4, 2), (7, 3), (40, 2), (60, 25)]:
        codes = codes_for(codec, n_frames)
        offline = codec.decode(codes)[0]
        lengths = random_lengths(n_frames, longest, rng)
        made = streamed(codec, codes[0], lengths)
        assert made.shape == offline.shape == (codec.channels, codec.hop * n_frames)
        assert offline.abs().max() > 0.01
        assert (made - offline).abs().max() < ROUNDING, (n_frames, lengths)


def test_longer_than_what_is_decoded_at_once() -> None:
    codec = golden()
    codes = codes_for(codec, 2 * PART_FRAMES + 25)
    with torch.inference_mode():
        offline = codec.model.decoder(codec.latent(codes))[0]  # with no part of ours
    assert (codec.decode(codes)[0] - offline).abs().max() < ROUNDING
    made = streamed(codec, codes[0], [25] * (codes.shape[2] // 25))
    assert (made - offline).abs().max() < ROUNDING


def test_sound_comes_as_soon_as_it_is_final() -> None:
    codec = golden()
    decoder = StreamDecoder(codec)
    lengths = [decoder.push(codes_for(codec, 1)[0]).shape[1] for _ in range(10)]
    held = decoder.n_held_frames
    assert held <= 4  # 80 ms
    assert lengths == [0] * held + [codec.hop] * (10 - held)
    assert decoder.finish().shape == (1, held * codec.hop)


@pytest.mark.parametrize("name", ["constant", "lapped", "lapped-far", "lapped-partials"])
def test_every_frame_of_the_reach_is_needed(name: str) -> None:
    codec = CODECS[name]()
    _, _, local = codec.decoder_parts()
    memory, lookahead = reach_frames(local)
    middle, width = 60, 24 if name.startswith("lapped") else 64
    x = torch.randn(1, width, 121)
    changed = x.clone()
    changed[:, :, middle] += 1
    before, after = x, changed
    with torch.inference_mode():
        for layer in local:
            before, after = layer(before), layer(after)
    differs = (before != after).view(121, codec.hop).any(dim=1).nonzero().flatten()
    earliest, latest = middle - int(differs.min()), int(differs.max()) - middle
    assert earliest <= lookahead
    assert latest <= memory
    assert earliest == lookahead or latest == memory


def test_nothing_at_all() -> None:
    decoder = StreamDecoder(stereo())
    assert decoder.push(torch.zeros(8, 0, dtype=torch.int64)).shape == (2, 0)
    assert decoder.finish().shape == (2, 0)


def test_the_end_comes_once() -> None:
    decoder = StreamDecoder(golden())
    decoder.finish()
    with pytest.raises(AssertionError, match="finished"):
        decoder.push(torch.zeros(4, 1, dtype=torch.int64))
