"""Files: uploads and music on the disk, and the URLs that lead to them.

    files/
        <id>                  whole files; the store says what they are
        derived/<id>.json     what was found out about a file; it goes with it
        incoming/<id>.part    files that are being written

A file is first whole on the disk and then known to the store; it is first forgotten by the store
and then removed. So what the store knows is there, and what a crash leaves behind is known to
nobody: `sweep` removes it.
"""

from __future__ import annotations

import base64
import hmac
import os
import re
import time
from collections.abc import AsyncIterable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, unquote, urlencode, urlsplit

from anyio import to_thread

from fanfare.server.database import free_bytes
from fanfare.server.ids import LENGTH, is_id, new_id
from fanfare.server.incoming import Incoming, StorageFullError, as_storage_error
from fanfare.server.media import EXTENSIONS, clean_name, clean_type, sniff
from fanfare.server.records import File, NewFile
from fanfare.server.store import ROOM_BYTES as STORE_ROOM_BYTES
from fanfare.server.store import Store

ROOM_BYTES = 2 * STORE_ROOM_BYTES
"""Files leave so much of the disk free; the store needs it."""
ORPHAN_AGE_S = 3600
"""What the store doesn't know may still be on its way to it for so long."""
DERIVED = "derived"
_CAPABILITY = re.compile(r"([a-z0-9]{26})-([0-9a-f]{1,16})-([0-9a-f]{32})")


@dataclass(frozen=True)
class Meant:
    """What a new file is: see `NewFile`."""

    owner: str
    name: str | None = None
    content_type: str | None = None
    purpose: Literal["upload", "output"] = "upload"
    prediction: str | None = None
    metadata: Mapping[str, Any] | None = None
    ttl_s: float | None = None


class Files:
    """The folder of files, and the key that their URLs are signed with.

    Args:
        home: the server's folder.
        key: signs URLs; None = the store's own.
        max_storage_bytes: uploads beyond it are refused; music that was asked for is always kept.
    """

    def __init__(
        self,
        home: Path,
        store: Store,
        key: bytes | None = None,
        max_storage_bytes: int = 64 * 2**30,
    ) -> None:
        self._store = store
        self._key = store.secret("urls") if key is None else key
        self._max_storage_bytes = max_storage_bytes
        self._folder = home / "files"
        self._incoming = self._folder / "incoming"
        self._incoming.mkdir(parents=True, exist_ok=True, mode=0o700)

    # --- in ---------------------------------------------------------------------------------

    def save(self, chunks: Iterable[bytes], meant: Meant, *, cap_bytes: int) -> File:
        """Keep a file: FileTooLargeError beyond the cap, StorageFullError when there is no room."""
        with self._begin(meant, cap_bytes) as incoming:
            for chunk in chunks:
                incoming.write(chunk)
            return self._finish(incoming, meant)

    async def save_stream(
        self, chunks: AsyncIterable[bytes], meant: Meant, *, cap_bytes: int
    ) -> File:
        """`save`, of bytes that arrive one by one; whoever sends them may go away at any time."""
        incoming = await to_thread.run_sync(self._begin, meant, cap_bytes)
        with incoming:
            async for chunk in chunks:
                await to_thread.run_sync(incoming.write, chunk)
            return await to_thread.run_sync(self._finish, incoming, meant)

    def adopt(self, path: Path, meant: Meant) -> File:
        """`save`, of a finished file on this disk; `path` is gone afterwards."""
        with open(path, "rb") as file, self._begin(meant, 2**62) as incoming:
            while chunk := file.read(2**20):
                incoming.write(chunk)
            adopted = self._finish(incoming, meant)
        path.unlink(missing_ok=True)
        return adopted

    # --- out --------------------------------------------------------------------------------

    def path(self, file_id: str) -> Path:
        """Where a file lies."""
        assert is_id(file_id), file_id
        return self._folder / file_id

    def derived(self, file_id: str) -> Path:
        """Where what was found out about a file is kept, if it is."""
        return self._folder / DERIVED / f"{self.path(file_id).name}.json"

    def temporary(self) -> Path:
        """A free name for a file that is soon removed, at the latest by `sweep`."""
        return self._incoming / f"{new_id()}.part"

    def file_of(self, file_id: str) -> File | None:
        """What the store knows of a file, whosever it is."""
        return self._store.file(file_id, None)

    def read(self, file: File) -> bytes | None:
        """All its bytes; None when it has been removed."""
        try:
            return self.path(file.id).read_bytes()
        except FileNotFoundError:
            return None

    def delete(self, file_id: str, owner: str | None) -> bool:
        """Forget and remove a file; False when that owner has none of that id."""
        if not self._store.delete_file(file_id, owner):
            return False
        self.discard([file_id])
        return True

    def discard(self, file_ids: Iterable[str]) -> None:
        """Remove files that the store has forgotten."""
        for file_id in file_ids:
            self.path(file_id).unlink(missing_ok=True)
            self.derived(file_id).unlink(missing_ok=True)

    def sweep(self) -> int:
        """Remove what crashes left behind; how many files."""
        before = time.time() - ORPHAN_AGE_S
        parts = [entry for entry in os.scandir(self._incoming) if _is_older(entry, before)]
        lying = [e for e in os.scandir(self._folder) if is_id(e.name) and _is_older(e, before)]
        lying += [e for e in _entries(self._folder / DERIVED) if _is_older(e, before)]
        known = self._store.known_files(entry.name[:LENGTH] for entry in lying)
        gone = parts + [entry for entry in lying if entry.name[:LENGTH] not in known]
        for entry in gone:
            with suppress(FileNotFoundError):
                os.unlink(entry.path)
        return len(gone)

    # --- URLs -------------------------------------------------------------------------------

    def download_url(self, base_url: str, file: File, ttl_s: float) -> str:
        """Where a file's bytes are until then, for whoever has the URL."""
        expiry = int(self._now_s() + ttl_s)
        signature = self._signature(file.owner, file.id, expiry)
        query = urlencode({"expiry": expiry, "owner": file.owner, "signature": signature})
        return f"{base_url}/v1/files/{file.id}/download?{query}"

    def by_download(self, file_id: str, owner: str, expiry: str, signature: str) -> File | None:
        """The file that a download URL's parts lead to; None when they don't, or not any more."""
        if not re.fullmatch(r"[0-9]{1,15}", expiry) or int(expiry) <= self._now_s():
            return None
        right = self._signature(owner, file_id, int(expiry))
        if not hmac.compare_digest(right.encode(), signature.encode("utf-8", "replace")):
            return None
        return self._store.file(file_id, owner)

    def output_url(self, base_url: str, file: File, ttl_s: float) -> str:
        """Where music is for at least so long, under a name with its extension.

        The same for a quarter of that time, so that asking again gives the same answer.
        """
        step = max(1, int(ttl_s / 4))
        expiry = (int(self._now_s() + ttl_s) // step + 1) * step
        capability = f"{file.capability}-{expiry:x}-{self._mac(file.capability, expiry)}"
        return f"{base_url}/files/{capability}/{quote(file.name, safe='')}"

    def by_capability(self, capability: str) -> File | None:
        """The music that the middle of an output's URL leads to; None when it doesn't any more."""
        parts = _CAPABILITY.fullmatch(capability)
        if parts is None:
            return None
        expiry = int(parts[2], 16)
        if not hmac.compare_digest(self._mac(parts[1], expiry), parts[3]):
            return None
        return self._store.file_by_capability(parts[1]) if expiry > self._now_s() else None

    def by_url(self, url: str, base_urls: Iterable[str], owner: str) -> File | None:
        """Our own file that a URL of ours means: read from the disk, never by way of the network.

        Uploads by their owner alone, unless the URL is signed; music by its capability.
        """
        path = _path_below(url, base_urls)
        if path is None:
            return None
        if match := re.fullmatch(r"(?:/v1)+/files/([a-z0-9]{26})(/download)?", path):
            query = dict(part.partition("=")[::2] for part in urlsplit(url).query.split("&"))
            if match[2]:
                values = [unquote(query.get(n, "")) for n in ("owner", "expiry", "signature")]
                return self.by_download(match[1], *values)
            return self._store.file(match[1], owner)
        if match := re.fullmatch(r"/files/([a-z0-9-]+)/[^/]*", path):
            return self.by_capability(match[1])
        return None

    # ----------------------------------------------------------------------------------------

    def _begin(self, meant: Meant, cap_bytes: int) -> Incoming:
        if meant.purpose == "upload" and self._store.stored_bytes() >= self._max_storage_bytes:
            raise StorageFullError
        self._check_room()
        try:
            return Incoming(self._incoming / f"{new_id()}.part", cap_bytes)
        except OSError as error:
            raise as_storage_error(error) from error

    def _finish(self, incoming: Incoming, meant: Meant) -> File:
        content_type = sniff(incoming.head) or clean_type(meant.content_type)
        fallback = f"{meant.purpose}.{EXTENSIONS.get(content_type, 'bin')}"
        expires_at = None
        if meant.ttl_s is not None:
            expires_at = self._store.now() + timedelta(seconds=meant.ttl_s)
        new = NewFile(
            id=new_id(),
            owner=meant.owner,
            name=clean_name(meant.name, fallback),
            content_type=content_type,
            size=incoming.size,
            sha256=incoming.sha256,
            md5=incoming.md5,
            purpose=meant.purpose,
            prediction=meant.prediction,
            metadata=dict(meant.metadata or {}),
            expires_at=expires_at,
        )
        self._check_room()
        incoming.finish(self.path(new.id))
        return self._store.create_file(new)

    def _check_room(self) -> None:
        if free_bytes(self._folder) < ROOM_BYTES:
            raise StorageFullError

    def _now_s(self) -> float:
        return self._store.now().timestamp()

    def _signature(self, owner: str, file_id: str, expiry: int) -> str:
        made = hmac.digest(self._key, f"{owner} {file_id} {expiry}".encode(), "sha256")
        return base64.b64encode(made).decode()

    def _mac(self, capability: str, expiry: int) -> str:
        return hmac.digest(self._key, f"output {capability} {expiry}".encode(), "sha256").hex()[:32]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        return list(os.scandir(folder))
    except FileNotFoundError:
        return []


def _is_older(entry: os.DirEntry[str], before: float) -> bool:
    try:
        return entry.is_file(follow_symlinks=False) and entry.stat().st_mtime < before
    except FileNotFoundError:
        return False


def is_ours(url: str, base_urls: Iterable[str]) -> bool:
    """Whether a URL leads to this server."""
    return _path_below(url, base_urls) is not None


def _path_below(url: str, base_urls: Iterable[str]) -> str | None:
    """The path of a URL that is one of our own; None when it is elsewhere."""
    place = _place(url)
    for base_url in base_urls:
        base_path = urlsplit(base_url).path
        path = urlsplit(url).path if place is not None and place == _place(base_url) else ""
        if path.startswith(f"{base_path}/"):
            return path.removeprefix(base_path)
    return None


def _place(url: str) -> tuple[str, str, int] | None:
    """Scheme, host and port; None when there is nothing like that."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        return None
    return parts.scheme, (parts.hostname or "").lower(), port
