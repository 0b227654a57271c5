"""What the caches hold: the hub's, shared with other tools, and our own for files of the web."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fanfare.errors import CheckpointError, InputError
from fanfare.settings import read_settings
from fanfare.weights.fetch import PARTIAL, RECORD, read_record
from fanfare.weights.hub import HubModel, layouts
from fanfare.weights.known import BY_HUB_ID
from fanfare.weights.registry import place_of

MUSIC = {"musicgen", "musicgen_melody"}


@dataclass(frozen=True)
class Cached:
    """Weights in a cache.

    Attributes:
        name: what `find` takes for them.
        path: where they lie.
        size_bytes: on disk, all revisions together.
        revisions: commits of the hub; empty for files of the web.
        sha256: of a file of the web; None = it hasn't come whole.
    """

    name: str
    path: Path
    size_bytes: int
    revisions: tuple[str, ...] = ()
    sha256: str | None = None


def cached_models() -> list[Cached]:
    """Models and parts of models in the caches, by name; other tools' models are left out."""
    on_hub = (
        Cached(repo.repo_id, repo.repo_path, repo.size_on_disk, _commits(repo))
        for repo in _repositories()
        if repo.repo_id in BY_HUB_ID or any(_is_music(r) for r in repo.revisions)
    )
    return [*sorted(on_hub, key=lambda cached: cached.name), *_web_files()]


def removable(source: str) -> Cached:
    """What `remove` would remove for a name.

    Raises:
        InputError: it is a path or built in, and so in no cache.
        CheckpointError: no cache holds it.
    """
    place = place_of(source)
    if isinstance(place, Path):
        raise InputError("name", source, "is no download: only what is in a cache is removed")
    if isinstance(place, HubModel):
        for repo in _repositories():
            if repo.repo_id == place.hub_id:
                if place.revision is None:
                    return Cached(str(place), repo.repo_path, repo.size_on_disk, _commits(repo))
                for revision in repo.revisions:
                    if place.revision in {revision.commit_hash, *revision.refs}:
                        return Cached(
                            str(place), revision.snapshot_path, revision.size_on_disk,
                            (revision.commit_hash,),
                        )  # fmt: skip
    else:
        # Signed URLs are rarely at hand any more: what is shown of them will do.
        for folder, url in _web_folders():
            if url == place.shown or folder == place.folder(read_settings().cache_dir):
                return Cached(url, folder, _size(folder))
    raise CheckpointError(f"{source} is in no cache")


def remove(cached: Cached) -> int:
    """Remove it from its cache: the bytes that are free now.

    Files of the hub that another revision needs too stay.
    """
    if not cached.revisions:
        shutil.rmtree(cached.path)
        return cached.size_bytes
    from huggingface_hub import constants, scan_cache_dir

    found = scan_cache_dir(constants.HF_HUB_CACHE)
    # Commits don't tell repositories apart: copies of one have the same.
    mine = frozenset(repo for repo in found.repos if cached.path.is_relative_to(repo.repo_path))
    strategy = replace(found, repos=mine).delete_revisions(*cached.revisions)
    freed: int = strategy.expected_freed_size
    strategy.execute()
    return freed


def _repositories() -> list[Any]:
    """Models in the hub's cache."""
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        found = scan_cache_dir(constants.HF_HUB_CACHE)
    except CacheNotFound:
        return []
    return [repo for repo in found.repos if repo.repo_type == "model"]


def _commits(repo: Any) -> tuple[str, ...]:
    return tuple(sorted(revision.commit_hash for revision in repo.revisions))


def _is_music(revision: Any) -> bool:
    """Whether a revision holds something that makes music, as far as its files' names tell."""
    folder = revision.snapshot_path
    names = [file.file_path.relative_to(folder).as_posix() for file in revision.files]
    files = next(layouts(names), [])
    if "config.json" not in files or "fanfare.json" in files:
        return bool(files)
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("model_type") in MUSIC


def _web_files() -> Iterator[Cached]:
    """Files of the web, those that have come in part included."""
    for folder, url in _web_folders():
        record = read_record(folder)
        if record is None:
            yield Cached(url, folder, _size(folder))
        else:
            path = folder / record.file
            yield Cached(url, path, record.size_bytes, sha256=record.sha256)


def _web_folders() -> Iterator[tuple[Path, str]]:
    """Folders of our own cache, and the URL of what is in each."""
    root = read_settings().cache_dir / "urls"
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        for file in (folder / RECORD, *folder.glob(f"*{PARTIAL}.json")):
            try:
                yield folder, str(json.loads(file.read_text("utf-8"))["url"])
                break
            except (OSError, ValueError, KeyError, TypeError):
                continue


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
