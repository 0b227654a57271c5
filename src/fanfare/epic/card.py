"""The model card that is exported beside the weights."""

from __future__ import annotations

from torch import nn

from fanfare.nn.lapped import LappedCodec

FILE = "MODEL_CARD.md"
TEXT = """# epic-mini

A plan-conditioned language model ({lm} parameters) over the codes of a small codec
({codec} parameters, 32 kHz mono, 50 frames a second, {books} × 1,024 codes, {kbits:g} kbit/s:
{way}){bands}.
It plays epic, cinematic music of a synthetic orchestra that follows a prompt's tempo, key, mode,
mood, intensity, form, metre and instruments.

- **Data**: pieces of {seconds:.0f} seconds, written by a program (`fanfare.epic.compose`) for its
  training, and played by a sampler (`fanfare.epic.player`) with sounds cut from the FluidR3 GM
  SoundFont (MIT licence, Frank Wen), and percussion and effects made by synthesis. No recording of
  anybody's music.
- **Recipe**: `make epic`, preset `{preset}`: {codec_steps:,} steps of the codec, {lm_steps:,} of
  the language model{bands_steps}{before}; see `docs/training.md` in the source.
- **Figures**: {figures}; all others by `make eval`, see `docs/epic-mini.md`.
- **Meant for**: music on a machine with no GPU and no network; demonstrations, tests, benchmarks.
- **Not for**: voices with words, other genres than its composer's, finished productions.
- **Prompts**: English best; the basics of German, French, Spanish and Italian. Words it doesn't
  know are ignored; what a prompt leaves open is drawn from the seed.
- **Licence**: Apache-2.0.
"""


OWN_WAY = "residual convolutions between a lapped transform and its inverse"
ENCODEC_WAY = """the encoder of a small EnCodec; residual convolutions
and an inverse lapped transform as its decoder"""
PARTIALS = "; beside it, {n} oscillators\nfor partials above {lowest:,.0f} Hz"


def millions(module: nn.Module) -> str:
    """How many parameters a module has."""
    return f"{sum(p.numel() for p in module.parameters()) / 1e6:.1f} M"


def partials_of(codec: LappedCodec) -> str:
    """What the card says of them."""
    partials = codec.config.partials
    return PARTIALS.format(n=partials.n, lowest=partials.lowest_hz) if partials else ""


def model_card(
    lm: nn.Module,
    codec: LappedCodec,
    bands: nn.Module | None,
    *,
    n_codebooks: int,
    n_frames: int,
    preset: str,
    steps: tuple[int, int, int],
    gate: dict[str, float],
    before: str = "",
) -> str:
    """The card.

    Args:
        n_frames: of a training piece.
        steps: of codec, language model and band models.
        gate: the last figures of the language model's gate.
        before: what the training went on from.
    """
    figures = "not measured"
    if gate:
        books = " / ".join(
            f"{value:.2f}" for name, value in gate.items() if name.startswith("heldout")
        )
        figures = (
            f"held-out cross-entropy {books} nats per book;\n"
            f"  without the plan the first is {gate['gap']:.2f} ± {gate['gap_error']:.2f} higher"
        )
    return TEXT.format(
        lm=millions(lm), codec=millions(codec), books=n_codebooks, kbits=n_codebooks / 2,
        bands=f", with band models for diffusion ({millions(bands)})" if bands else "",
        way=(ENCODEC_WAY if codec.config.encodec else OWN_WAY) + partials_of(codec),
        seconds=n_frames / 50, preset=preset, codec_steps=steps[0], lm_steps=steps[1],
        bands_steps=f", {steps[2]} of the band models" if bands else "", figures=figures,
        before=f", {before}" if before else "",
    )  # fmt: skip
