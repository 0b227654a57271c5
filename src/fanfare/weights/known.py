"""Known: the published weights that have a short name here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

MUSICGEN_LICENCE = "CC-BY-NC-4.0"


@dataclass(frozen=True)
class Known:
    """Published weights.

    Attributes:
        name: what they are called here.
        hub_id: where they are on the hub.
        licence: an SPDX identifier.
        file: the one file that is meant; None = all that a model needs.
        part: what part of a model they are; None = they are whole models.
        n_parameters: of a part, as far as it is used.
    """

    name: str
    hub_id: str
    licence: str = MUSICGEN_LICENCE
    file: str | None = None
    part: Literal["text encoder", "codec", "diffusion", "separator"] | None = None
    n_parameters: int | None = None


MODELS = tuple(
    Known(name, f"facebook/musicgen-{name}")
    for name in (
        "small",
        "medium",
        "large",
        "melody",
        "melody-large",
        "stereo-small",
        "stereo-medium",
        "stereo-large",
        "stereo-melody",
        "stereo-melody-large",
    )
)

PARTS = (
    Known("t5-base", "google-t5/t5-base", "Apache-2.0", None, "text encoder", 109_628_544),
    Known("encodec_32khz", "facebook/encodec_32khz", MUSICGEN_LICENCE, None, "codec", 57_925_313),
    Known(
        "mbd",
        "facebook/multiband-diffusion",
        MUSICGEN_LICENCE,
        "mbd_musicgen_32khz.th",
        "diffusion",
    ),
    Known("htdemucs", "adefossez/HTDemucs", "MIT", "955717e8.safetensors", "separator"),
)

BY_NAME = {known.name: known for known in (*MODELS, *PARTS)}
BY_HUB_ID = {known.hub_id: known for known in (*MODELS, *PARTS)}
