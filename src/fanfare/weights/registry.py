"""From whatever people call a model to where it lies on this machine.

epic-mini                              built in
small, melody, stereo-large …          published weights, by the short names of known.py
owner/name, owner/name@revision        a repository of the Hugging Face hub
https://…/trained_model.tar#sha256=…   a file of the web
./folder, trained_model.tar            a path; it wins over all others
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from fanfare.errors import CheckpointError
from fanfare.settings import read_settings
from fanfare.weights.fetch import WebFile, cached_file, fetch, parse_url
from fanfare.weights.hub import HubModel, cached_on_hub, find_on_hub, hub_id_of, licence_of
from fanfare.weights.known import BY_NAME

BUILTIN = Path(__file__).parent.parent / "builtin"
REVISION = r"(?:@(?P<revision>[\w][\w./-]*))?"
NAME = re.compile(rf"(?P<name>[\w-]+){REVISION}")
HUB_ID = re.compile(rf"(?P<id>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*){REVISION}")
HUB_PAGE = re.compile(r"https://huggingface\.co/([\w.-]+/[\w.-]+)/?")

Place = Path | HubModel | WebFile


@dataclass(frozen=True)
class Identity:
    """What weights are called, and their licence as an SPDX identifier; None = not known."""

    name: str | None
    licence: str | None


def find(source: str | Path, *, newest: bool = False) -> Path:
    """The folder or file that `source` names, fetched if need be.

    Args:
        source: as at the top of this file.
        newest: ask the hub for what is there now, even if a cache holds an earlier state.

    Raises:
        CheckpointError: there is nothing by this name, or it can't be fetched.
    """
    place = place_of(source)
    if isinstance(place, Path):
        return place
    if isinstance(place, HubModel):
        return find_on_hub(place, newest=newest)
    settings = read_settings()
    found = cached_file(place, settings.cache_dir)
    if found is None:
        _check_online(place)
        found = fetch(place, settings.cache_dir, max_bytes=settings.max_weights_bytes)
    return found


def find_here(source: str | Path) -> Path | None:
    """As `find`, but fetches nothing: None = neither a path nor in a cache."""
    place = place_of(source)
    if isinstance(place, Path):
        return place
    if isinstance(place, HubModel):
        return cached_on_hub(place, unsure=True)
    return cached_file(place, read_settings().cache_dir)


def place_of(source: str | Path) -> Place:
    """What kind of name `source` is; nothing is fetched.

    Raises:
        CheckpointError: there is no such path, and it is no name either.
    """
    name = str(source)
    if match := HUB_PAGE.fullmatch(name):
        return HubModel(match[1])
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", name):
        return parse_url(name)
    path = Path(source).expanduser()
    if _exists(path):
        return path
    if isinstance(source, str):
        if name in builtin():
            return BUILTIN / name
        if (match := NAME.fullmatch(name)) and match["name"] in BY_NAME:
            return HubModel(BY_NAME[match["name"]].hub_id, match["revision"])
        if match := HUB_ID.fullmatch(name):
            return HubModel(match["id"], match["revision"])
    raise CheckpointError(f"no model {name!r}: {_hint(name)}")


def builtin() -> list[str]:
    """Names of the models inside the package."""
    return sorted(card.parent.name for card in BUILTIN.glob("*/fanfare.json"))


def identity(path: Path) -> Identity:
    """What the weights at a path that `find` gave are called by others, and their licence."""
    hub_id = hub_id_of(path)
    return Identity(hub_id, licence_of(path))


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # such as a name that is too long
        return False


def _hint(name: str) -> str:
    if "/" in name:
        return "there is no such path"
    names = [*builtin(), *BY_NAME]
    close = get_close_matches(name, names, 1)
    known = f"did you mean {close[0]!r}?" if close else f"the names are {', '.join(names)}"
    return f"there is no such path here, and {known}"


def _check_online(web: WebFile) -> None:
    from huggingface_hub import constants  # one switch for all that is fetched

    if constants.HF_HUB_OFFLINE:
        raise CheckpointError(
            f"{web.shown} isn't in the cache, and HF_HUB_OFFLINE is set; without it, this fetches"
            f" it: fanfare models pull {web.shown}"
        )
