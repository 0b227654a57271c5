"""From a model's name to the folder where it lies."""

from __future__ import annotations

import re
from pathlib import Path

from fanfare.errors import CheckpointError

BUILTIN = Path(__file__).parent.parent / "builtin"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
SMALL = ["*.json"]
SAFETENSORS = ["*.safetensors"]
PICKLES = ["state_dict.bin", "compression_state_dict.bin", "trained_model.tar"]


def find(source: str | Path) -> Path:
    """The folder or file that `source` names: a path, a built-in model, or one on the hub.

    A path wins over a hub model of the same name; only the latter touches the network.

    Raises:
        CheckpointError: there is nothing by this name.
    """
    path = Path(source).expanduser()
    if path.exists():
        return path
    name = str(source)
    if "/" not in name and (BUILTIN / name).is_dir():
        return BUILTIN / name
    if isinstance(source, str) and HUB_ID.fullmatch(name):
        return _download(name)
    raise CheckpointError(
        f"no model {name!r}: it is neither a path nor one of the built-in {', '.join(builtin())}"
    )


def builtin() -> list[str]:
    """Names of the models inside the package."""
    return sorted(card.parent.name for card in BUILTIN.glob("*/fanfare.json"))


def _download(hub_id: str) -> Path:
    """The files of a hub model, from the cache where they are there already.

    Most repositories hold the same weights twice; those in transformers' layout are preferred.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        folder = Path(snapshot_download(hub_id, allow_patterns=SMALL))
        weights = SAFETENSORS if (folder / "config.json").is_file() else PICKLES
        return Path(snapshot_download(hub_id, allow_patterns=[*SMALL, *weights]))
    except (HfHubHTTPError, OSError) as error:
        raise CheckpointError(
            f"{hub_id!r} is no path here, and couldn't be had from the hub: {error}"
        ) from error
