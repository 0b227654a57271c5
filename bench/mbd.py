"""How fast does Multi-Band Diffusion make sound of codes?

It multiplies: of each of its four networks, a second of music takes as many operations as are
counted here while one runs, nearly all of them convolutions, and each network runs 20 times for a
piece. Its weights (166 M in each network of the published template: 0.7 GB in float32) are read
once a run. The limit printed is the longer of the time of these operations, at the rate at which
matrices are multiplied, and the time of reading the weights and of writing and reading each
convolution's output once.

Weights are random numbers of the published template's size, or with --size tiny of a few thousand.
On a CPU a whole piece takes minutes, so it is one run of a network that is measured, and the whole
follows from the number of runs; --whole makes the piece, too. Prints a table and ends with one line
of JSON.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from common import Report, options, run
from fanfare.nn.bands import ProcessorConfig
from fanfare.nn.diffusion import Band, BandConfig, DiffusionConfig, MultiBandDiffusion
from fanfare.nn.diffusion_schedule import N_STEPS, ScheduleConfig
from fanfare.nn.diffusion_unet import UnetConfig
from machine import Limits, limits, peak_mb, restart_peak
from timing import repeated, seconds

SAMPLE_RATE_HZ, FRAME_RATE_HZ = 32000, 50
HIDDEN = {"published": 48, "tiny": 4}
LATENT_DIM = {"published": 128, "tiny": 8}
N_BANDS = 4


def template(size: str) -> DiffusionConfig:
    """The published template, or one as deep with few channels."""
    unet = UnetConfig(
        latent_dim=LATENT_DIM[size], hidden=HIDDEN[size], depth=4, growth=4, max_channels=10_000,
        kernel=8, stride=4, res_blocks=1, norm_groups=4, emb_all_layers=True,
    )  # fmt: skip
    schedule = ScheduleConfig(beta_first=1e-5, beta_last=2.9e-2, exponent=7.5)
    bands = tuple(BandConfig(unet, schedule, ProcessorConfig(8, 0.4)) for _ in range(N_BANDS))
    return DiffusionConfig(SAMPLE_RATE_HZ, bands)


@dataclass(frozen=True)
class CallCost:
    """What one run of a network takes."""

    operations: float
    n_bytes: float

    def least_s(self, found: Limits) -> float:
        """The shortest time it can take."""
        return found.step_s(self.n_bytes, self.operations)


def call_cost(band: Band, x: torch.Tensor, latent: torch.Tensor) -> CallCost:
    """Counted while it runs on samples x [1, 1, N]."""
    written = 0
    watches = []

    def watch(_: nn.Module, __: object, out: torch.Tensor) -> None:
        nonlocal written
        written += out.nbytes

    for module in band.modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            watches.append(module.register_forward_hook(watch))
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        band.unet(x, N_STEPS - 1, latent)
    for handle in watches:
        handle.remove()
    weights = sum(p.nbytes for p in band.unet.parameters())
    return CallCost(float(counter.get_total_flops()), weights + 2.0 * written)


def main() -> None:
    """Measure and print."""
    parser = options(__doc__ or "", repeats=3, duration=10)
    parser.add_argument("--size", choices=list(HIDDEN), default="published")
    parser.add_argument("--whole", action="store_true", help="make the whole piece, too")
    args = parser.parse_args()
    if args.device == "auto":
        args.device = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(args.device)
    torch.manual_seed(0)
    with device:
        mbd = MultiBandDiffusion(template(args.size)).eval().requires_grad_(False)
    n_parameters = sum(p.numel() for p in mbd.parameters())
    report = Report(__doc__ or "", args, device, parameters=n_parameters)
    found = limits(device, torch.float32)
    report.limits(found)
    n_samples = args.duration * SAMPLE_RATE_HZ
    x = torch.randn(1, 1, n_samples, device=device)
    latent = torch.randn(1, LATENT_DIM[args.size], args.duration * FRAME_RATE_HZ, device=device)
    band = mbd.bands[0]
    assert isinstance(band, Band)
    cost, n_calls = call_cost(band, x, latent), mbd.n_steps(channels=1)

    def call() -> None:
        with torch.inference_mode():
            band.unet(x, N_STEPS - 1, latent)

    restart_peak(device)
    times = repeated(call, args.repeats, device)
    report.row(
        "one run of a network", times, "s", cost.least_s(found),
        operations=cost.operations, bytes=cost.n_bytes,
    )  # fmt: skip
    report.row("peak memory, libraries included", [peak_mb(device)], "MB")
    most = args.duration / (n_calls * cost.least_s(found))
    music = [args.duration / (n_calls * t) for t in times]
    report.row(f"a piece by {n_calls} such runs, computed", music, "× real", most)
    if args.whole:

        def piece() -> None:
            mbd.decode(latent, x[0], torch.Generator().manual_seed(0))

        took = [args.duration / seconds(piece, device) for _ in range(args.repeats)]
        report.row("a piece, made", took, "× real", most)
    report.finish()


if __name__ == "__main__":
    run(main)
