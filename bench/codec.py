"""How fast does the codec make sound of codes, at once and in chunks?

Its decoder multiplies: for each frame of 640 samples 9 million operations in epic-mini's and 156
million in MusicGen's, nearly all of them convolutions, whose weights stay in the caches of
a processor. Only the recurrent layer reads its weights anew for every frame. The limit printed is
the time of the operations (counted while it runs, the recurrent layer by its shape) at the rate at
which matrices are multiplied. A stream's chunks decode a few frames twice.

Prints a table and ends with one line of JSON.
"""

from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from common import Report, opened, options, run
from fanfare.chunks import CHUNK_S
from fanfare.engine.stream import StreamDecoder
from fanfare.nn.codec import Codec
from machine import limits
from timing import repeated


def n_operations(codec: Codec, codes: torch.Tensor) -> float:
    """That decoding codes [1, K, T] takes."""
    with FlopCounterMode(display=False) as counter:
        codec.decode(codes)
    _, recurrent, _ = codec.decoder_parts()
    matrices = [w for w in recurrent.parameters() if w.ndim == 2] if recurrent else []
    once = 2 * sum(w.numel() for w in matrices) * codec.channels * codes.shape[2]
    return float(counter.get_total_flops()) + once


def streamed(codec: Codec, codes: torch.Tensor, n_frames: int) -> None:
    """Decode codes [1, K, T] in chunks."""
    decoder = StreamDecoder(codec)
    for part in codes[0].split(n_frames, dim=1):
        decoder.push(part)
    decoder.finish()


def main() -> None:
    """Measure and print."""
    args = options(__doc__ or "").parse_args()
    with opened(args) as model:
        codec, config = model.bundle.codec, model.bundle.config
        report = Report(__doc__ or "", args, codec.device)
        found = limits(codec.device, next(codec.parameters()).dtype)
        report.limits(found)
        generator = torch.Generator().manual_seed(0)
        shape = (1, codec.n_codebooks, args.duration * config.frame_rate_hz)
        codes = torch.randint(codec.card, shape, generator=generator).to(codec.device)
        operations = n_operations(codec, codes)
        most = args.duration / (operations / found.operations_per_s)
        chunk = round(CHUNK_S * config.frame_rate_hz)
        wav = codec.decode(codes)
        for name, action in {
            "decode at once": lambda: codec.decode(codes),
            f"decode in chunks of {CHUNK_S} s": lambda: streamed(codec, codes, chunk),
            "encode": lambda: codec.encode(wav),
        }.items():
            times = repeated(action, args.repeats, codec.device)
            limit = None if name == "encode" else most
            report.row(
                name, [args.duration / t for t in times], "× real", limit,
                operations_per_frame=operations / shape[2],
            )  # fmt: skip
        report.finish()


if __name__ == "__main__":
    run(main)
