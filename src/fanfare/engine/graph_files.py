"""Graph files: a language model's ONNX graphs on disk, made once and opened ever after.

    step.onnx, cross.onnx   what is computed (see `onnx_graph`)
    weights.bin             what it is computed with, in the order in which it is used
    card.json               what they were made of; written last

Making them reads and quantises every weight, which takes seconds to minutes; opening them takes
less than one. A folder is named after all that they depend on, and is never changed: other weights
make another folder.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from fanfare.errors import OutputError
from fanfare.nn.lm import LanguageModel
from fanfare.weights.stored import StoredTensor
from fanfare.weights.tensors import Left

log = logging.getLogger(__name__)

T = TypeVar("T")

STEP, CROSS, WEIGHTS = "step.onnx", "cross.onnx", "weights.bin"

VERSION = 1
"""Of what is written here; to be raised whenever the graphs or their weights change."""
CARD = "card.json"
PARTIAL = ".partial"
MAX_BYTES = 16 * 2**30
"""How much is kept; what hasn't been used for longest goes first."""
STALE_S = 24 * 3600
"""After this time, what somebody began to write and didn't end is removed."""


def with_graphs(
    use: Callable[[Path], T],
    lm: LanguageModel,
    precision: str,
    left: Mapping[str, Left],
    cache_dir: Path | None,
) -> T:
    """What `use` makes of a folder with the graphs of `lm`, which may be gone afterwards.

    Args:
        use: opens the graphs; those that it can't open are made anew, once.
        lm: the model; weights of the meta device are read through `left`.
        precision: see `onnx_graph`.
        left: weights that stayed in their files.
        cache_dir: where to keep graphs of such weights; None = nowhere.

    Raises:
        OutputError: there is no room for them, neither there nor among temporary files.
        CheckpointError: the weights' files have changed.
    """
    place = None
    if cache_dir is not None and left:
        place = cache_dir / "graphs" / _key(lm, precision, left)
    if place is not None and _is_whole(place):
        try:
            used = use(place)
        except Exception as error:  # of whatever kind: what we wrote can be opened
            log.warning("%s can't be opened and is made anew: %s", place, error)
            shutil.rmtree(place, ignore_errors=True)
        else:
            os.utime(place / CARD)
            return used
    from fanfare.engine.onnx_graph import write_graphs  # slow to import, and not often needed

    if place is not None:
        try:
            _make(place, lm, precision, left)
            return use(place)
        except OSError as error:
            log.warning("the graphs can't be kept, and will be made again next time: %s", error)
    with tempfile.TemporaryDirectory(prefix="fanfare-", ignore_cleanup_errors=True) as name:
        try:
            write_graphs(Path(name), lm, precision, left)
        except OSError as error:
            raise OutputError(f"no room for the model's graphs in {name}: {error}") from error
        return use(Path(name))


def _key(lm: LanguageModel, precision: str, left: Mapping[str, Left]) -> str:
    """A name for all that the graphs depend on."""
    parts = {
        name: [
            [str(part.file.resolve()), part.offset, str(part.dtype)]
            for part in weight.parts
            if isinstance(part, StoredTensor)
        ]
        for name, weight in sorted(left.items())
    }
    facts = [VERSION, precision, lm.config.to_dict(), parts, _sources(left)]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _sources(left: Mapping[str, Left]) -> dict[str, list[int]]:
    """The files of the weights: size, and when they were written last."""
    files = {file.resolve() for weight in left.values() for file in weight.files}
    return {str(file): _state(file) for file in sorted(files)}


def _state(file: Path) -> list[int]:
    found = file.stat()
    return [found.st_size, found.st_mtime_ns]


def _make(place: Path, lm: LanguageModel, precision: str, left: Mapping[str, Left]) -> None:
    """Write the graphs to `place`: whole, or not at all."""
    from fanfare.engine.onnx_graph import write_graphs

    beside = place.with_name(f"{place.name}-{secrets.token_hex(4)}{PARTIAL}")
    beside.mkdir(parents=True)
    try:
        write_graphs(beside, lm, precision, left)
        sizes = {file.name: file.stat().st_size for file in sorted(beside.iterdir())}
        card = {"precision": precision, "files": sizes, "sources": _sources(left)}
        (beside / CARD).write_text(json.dumps(card, indent=1), encoding="utf-8")
        try:
            beside.rename(place)
        except OSError:
            if not _is_whole(place):  # somebody else was faster, or what was there is damaged
                shutil.rmtree(place, ignore_errors=True)
                beside.rename(place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    _tidy(place)


def _card(folder: Path) -> dict[str, Any]:
    """A folder's card; empty if there is none that makes sense."""
    try:
        card = json.loads((folder / CARD).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    is_card = isinstance(card, dict) and all(
        isinstance(card.get(key), dict) for key in ("files", "sources")
    )
    return card if is_card else {}


def _is_whole(folder: Path) -> bool:
    """Whether all files are there, in the sizes in which they were written."""
    files = _card(folder).get("files", {})
    return STEP in files and all(
        (folder / name).is_file() and (folder / name).stat().st_size == size
        for name, size in files.items()
    )


def _tidy(kept: Path) -> None:
    """Remove graphs of weights that have changed or gone, and what is too much; never `kept`."""
    used: list[tuple[float, int, Path]] = []
    for folder in kept.parent.iterdir():
        if folder == kept:
            continue
        if folder.name.endswith(PARTIAL):
            if time.time() - folder.stat().st_mtime > STALE_S:
                shutil.rmtree(folder, ignore_errors=True)
            continue
        card = _card(folder)
        if not card or any(_has_changed(*source) for source in card["sources"].items()):
            shutil.rmtree(folder, ignore_errors=True)
            continue
        used.append(((folder / CARD).stat().st_mtime, sum(card["files"].values()), folder))
    total = sum(_card(kept)["files"].values())
    for _, size, folder in sorted(used, reverse=True):
        total += size
        if total > MAX_BYTES:
            shutil.rmtree(folder, ignore_errors=True)


def _has_changed(file: str, state: list[int]) -> bool:
    try:
        return _state(Path(file)) != state
    except OSError:
        return True
