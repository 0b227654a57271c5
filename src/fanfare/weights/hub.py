"""Models on the Hugging Face hub, through the hub's own cache.

Most repositories hold the same weights in several layouts; only one of them is fetched. What the
cache holds whole is taken from there without asking the hub.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fnmatch import filter as matching
from itertools import pairwise
from pathlib import Path

import yaml  # type: ignore[import-untyped]

from fanfare.errors import CheckpointError
from fanfare.weights.known import BY_HUB_ID
from fanfare.weights.units import shown_bytes

log = logging.getLogger(__name__)

README = "README.md"
PICKLES = ("trained_model.tar", "checkpoint.th", "mbd_musicgen_32khz.th")
"""Files that are a checkpoint by themselves, where a repository holds no other."""

INDEX = ".index.json"
SPDX = {"apache-2.0": "Apache-2.0"}
"""Other licences are the upper case of what the hub calls them."""


@dataclass(frozen=True)
class HubModel:
    """A repository of the hub at a revision: a branch, tag or commit; None = its main branch."""

    hub_id: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.hub_id if self.revision is None else f"{self.hub_id}@{self.revision}"


def find_on_hub(model: HubModel, *, newest: bool = False) -> Path:
    """The folder of a model, or the file that is meant by it; fetched if the cache lacks it.

    Args:
        newest: ask for the present state of the revision, even if the cache holds an earlier one.

    Raises:
        CheckpointError: the hub can't be reached, or hasn't got it.
    """
    import httpx2
    from huggingface_hub.errors import XetDownloadError

    found = None if newest else cached_on_hub(model)
    if found is not None:
        return found
    try:
        return _meant(model, _download(model))
    except (OSError, ValueError, RuntimeError, httpx2.HTTPError, XetDownloadError) as error:
        # The cache may hold what another tool fetched, whole as far as can be told.
        found = None if newest else cached_on_hub(model, unsure=True)
        if found is None:
            raise _explained(model, error) from error
        return found


def cached_on_hub(model: HubModel, *, unsure: bool = False) -> Path | None:
    """Where the cache holds all files of one layout; None = nowhere.

    Args:
        unsure: go by the files that are there, where it isn't known which there should be.
    """
    from huggingface_hub import get_cached_repo_tree, snapshot_download
    from huggingface_hub.errors import CachedRepoTreeNotFoundError, LocalEntryNotFoundError

    where = {"repo_id": model.hub_id, "revision": model.revision}
    try:
        folder = Path(snapshot_download(**where, local_files_only=True, allow_patterns=[]))
    except (LocalEntryNotFoundError, ValueError):
        return None
    here = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    try:
        names = {file.path for file in get_cached_repo_tree(**where)}
    except CachedRepoTreeNotFoundError:
        names = here if unsure else set()
    for files in layouts(names, model.hub_id):
        if here.issuperset(files) and here.issuperset(_shards(folder, files)):
            return _meant(model, folder)
    return None


def _meant(model: HubModel, folder: Path) -> Path:
    """A model's folder, or the one file in it that is meant."""
    known = BY_HUB_ID.get(model.hub_id)
    return folder / known.file if known and known.file else folder


def layouts(names: Collection[str], hub_id: str = "") -> Iterator[list[str]]:
    """The files of each layout that a repository with these files holds, the best first."""
    known = BY_HUB_ID.get(hub_id)
    if known and known.file:
        if known.file in names:
            yield [known.file]
        return
    readme = [README] if README in names else []
    if "fanfare.json" in names:  # its parts are in folders, which patterns reach into
        yield [*matching(names, "*.json"), *matching(names, "*.safetensors"), *readme]
    beside = [n for n in names if "/" not in n and n.endswith(".json") and ".index." not in n]
    beside += matching(names, "spiece.model")
    if tensors := _weights(names, "model", "safetensors"):
        yield [*beside, *tensors, *readme]
    if "state_dict.bin" in names:
        yield ["state_dict.bin", *matching(names, "compression_state_dict.bin"), *readme]
    if tensors := _weights(names, "pytorch_model", "bin"):
        yield [*beside, *tensors, *readme]
    for pickle in PICKLES:
        if pickle in names:
            yield [pickle, *readme]


def _weights(names: Collection[str], stem: str, ending: str) -> list[str]:
    """Of a transformers folder: one file, or an index with its shards."""
    if "config.json" not in names:
        return []
    index = matching(names, f"{stem}.{ending}{INDEX}")
    return index + matching(names, f"{stem}-*.{ending}" if index else f"{stem}.{ending}")


def _shards(folder: Path, files: Collection[str]) -> set[str]:
    """What the indices among `files` name."""
    shards: set[str] = set()
    for index in (name for name in files if name.endswith(INDEX)):
        shards |= set(json.loads((folder / index).read_text("utf-8"))["weight_map"].values())
    return shards


def _download(model: HubModel) -> Path:
    """The folder in the hub's cache, after whatever it lacks is fetched."""
    from huggingface_hub import HfApi, snapshot_download, try_to_load_from_cache

    info = HfApi().model_info(model.hub_id, revision=model.revision, files_metadata=True)
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or []}
    files = next(layouts(sizes, model.hub_id), None)
    if files is None:
        held = ", ".join(sorted(sizes)[:8]) or "nothing"
        raise CheckpointError(f"{model} holds no weights of a known layout, but {held}")
    missing = [
        name
        for name in files
        if not isinstance(try_to_load_from_cache(model.hub_id, name, revision=info.sha), str)
    ]
    if missing:
        size = sum(sizes[name] for name in missing)
        log.info("fetching %s from the hub: %s", model, shown_bytes(size))
        _say_licence(model, info.card_data.license if info.card_data else None)
    return Path(
        snapshot_download(model.hub_id, revision=model.revision, allow_patterns=files)
    )  # of which those in the cache aren't fetched


def _say_licence(model: HubModel, on_card: object) -> None:
    """Tell whoever fetches weights what they may be used for."""
    known = BY_HUB_ID.get(model.hub_id)
    licence = known.licence if known else _spdx(on_card)
    if licence and "NC" in licence.split("-"):
        log.warning("%s is licensed %s: not for commercial use", model.hub_id, licence)
    elif licence:
        log.info("%s is licensed %s", model.hub_id, licence)


def _explained(model: HubModel, error: Exception) -> CheckpointError:
    """What to do about it."""
    from huggingface_hub import constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    first = str(error).strip().partition("\n")[0]
    if constants.HF_HUB_OFFLINE:
        return CheckpointError(
            f"{model} isn't in the cache, and HF_HUB_OFFLINE is set;"
            f" without it, this fetches it: fanfare models pull {model}"
        )
    if isinstance(error, HFValidationError):
        return CheckpointError(f"{str(model)!r} is neither a path nor a name on the hub: {first}")
    if isinstance(error, GatedRepoError):
        return CheckpointError(
            f"{model} is for those who accept its terms, at https://huggingface.co/{model.hub_id};"
            " then run: hf auth login"
        )
    if isinstance(error, RepositoryNotFoundError):
        return CheckpointError(
            f"{model} is no path here, and the hub has no such model, or it is private;"
            " then run: hf auth login"
        )
    if isinstance(error, RevisionNotFoundError):
        return CheckpointError(f"{model.hub_id} has no revision {model.revision!r}")
    return CheckpointError(f"{model} couldn't be had from the hub: {first}")


def hub_id_of(path: Path) -> str | None:
    """The repository whose snapshot in the hub's cache `path` is or lies in; None = no such."""
    for repository, below in pairwise(path.absolute().parts):
        if repository.startswith("models--") and below == "snapshots":
            return repository.removeprefix("models--").replace("--", "/", 1)
    return None


def licence_of(path: Path) -> str | None:
    """The licence of weights, as an SPDX identifier: of those that are known, or by their card."""
    known = BY_HUB_ID.get(hub_id_of(path) or "")
    if known:
        return known.licence
    try:
        with (path / README).open(encoding="utf-8", errors="replace") as file:
            front = re.match(r"---\n(.*?\n)---\n", file.read(2**16), re.DOTALL)
        card = yaml.safe_load(front[1]) if front else None
    except (OSError, yaml.YAMLError):
        return None
    return _spdx(card.get("license")) if isinstance(card, dict) else None


def _spdx(licence: object) -> str | None:
    """An SPDX identifier for what cards call a licence; None = not one."""
    if not isinstance(licence, str) or licence in {"other", "unknown"}:
        return None
    return SPDX.get(licence, licence.upper())
