"""Known: the published weights that have a short name here."""

from __future__ import annotations

from dataclasses import dataclass

MUSICGEN_LICENCE = "CC-BY-NC-4.0"
NON_COMMERCIAL = "not for commercial use"


@dataclass(frozen=True)
class Known:
    """Published weights.

    Attributes:
        name: what they are called here.
        hub_id: where they are on the hub.
        licence: an SPDX identifier.
        file: the one file that is meant; None = all that a model needs.
        is_model: whether they make music by themselves, rather than being a part.
    """

    name: str
    hub_id: str
    licence: str = MUSICGEN_LICENCE
    file: str | None = None
    is_model: bool = True


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
    Known("t5-base", "google-t5/t5-base", "Apache-2.0", is_model=False),
    Known("encodec_32khz", "facebook/encodec_32khz", is_model=False),
    Known(
        "mbd", "facebook/multiband-diffusion", file="mbd_musicgen_32khz.th", is_model=False
    ),
)  # fmt: skip

BY_NAME = {known.name: known for known in (*MODELS, *PARTS)}
BY_HUB_ID = {known.hub_id: known for known in (*MODELS, *PARTS)}
