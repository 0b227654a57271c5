"""Files of the web in a cache of our own: fetched once, whole, and known by their SHA-256.

    <cache>/urls/<key of the URL>/
        <name>                  the file; it gets this name when it is whole
        record.json             what is known of it; written last
        <name>.partial[.json]   what has come so far, and of which version
        .lock                   held while a process fetches

Only https is spoken, after every redirect too; plain http reaches no further than this machine.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import httpx2
from filelock import FileLock, Timeout

from fanfare.errors import CheckpointError

log = logging.getLogger(__name__)

RECORD, PARTIAL = "record.json", ".partial"
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
MAX_REDIRECTS = 5
TIMEOUT_S = 30.0
ATTEMPTS = 5
PAUSE_S = 0.5
"""Before the second attempt; doubled before each further one."""


@dataclass(frozen=True)
class WebFile:
    """A file of the web.

    Attributes:
        url: without its fragment.
        sha256: what it must be, in hexadecimal; None = not known.
    """

    url: str
    sha256: str | None = None

    @property
    def name(self) -> str:
        """The file's own name, fit for a disk."""
        last = unquote(urlsplit(self.url).path).rsplit("/", 1)[-1]
        return re.sub(r"[^\w.-]+", "_", last).lstrip(".")[-100:] or "weights"

    @property
    def shown(self) -> str:
        """The URL without what may be secret: user, password and query."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def folder(self, cache_dir: Path) -> Path:
        """Its place in the cache."""
        return cache_dir / "urls" / hashlib.sha256(self.url.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Record:
    """What is known of a whole file in the cache; `url` lacks what may be secret."""

    url: str
    file: str
    sha256: str
    size_bytes: int


def parse_url(text: str) -> WebFile:
    """A URL, with "#sha256=<hex>" at its end where that is known.

    Raises:
        CheckpointError: it is of a kind that isn't fetched.
    """
    url, fragment = urldefrag(text)
    match = re.fullmatch(r"sha256=([0-9a-fA-F]{64})", fragment)
    if fragment and match is None:
        raise CheckpointError(f"{text}: after # comes sha256= and 64 hexadecimal digits")
    web = WebFile(url, match[1].lower() if match else None)
    _check_safe(url, web)
    return web


def cached_file(web: WebFile, cache_dir: Path) -> Path | None:
    """Where the whole file lies in the cache; None = nowhere, or with another SHA-256."""
    folder = web.folder(cache_dir)
    record = read_record(folder)
    if record is None or web.sha256 not in (None, record.sha256):
        return None
    return folder / record.file


def read_record(folder: Path) -> Record | None:
    """The record of a folder in the cache; None where the file isn't whole."""
    try:
        record = Record(**json.loads((folder / RECORD).read_text("utf-8")))
        is_whole = (folder / record.file).stat().st_size == record.size_bytes
    except (OSError, ValueError, TypeError):
        return None
    return record if is_whole else None


def fetch(web: WebFile, cache_dir: Path, *, max_bytes: int) -> Path:
    """The file, from the cache if it is there, else from the web; goes on where it was cut off.

    Raises:
        CheckpointError: it can't be had, is too large, or isn't what its SHA-256 says.
    """
    folder = web.folder(cache_dir)
    try:
        found = cached_file(web, cache_dir)
        if found is None:
            folder.mkdir(parents=True, exist_ok=True)
            with _alone(folder, web):  # and somebody else may have been quicker
                found = cached_file(web, cache_dir) or _fetch(web, folder, max_bytes)
    except OSError as error:
        raise CheckpointError(f"{web.shown} can't be kept in {folder}: {error}") from error
    return found


@contextmanager
def _alone(folder: Path, web: WebFile) -> Iterator[None]:
    """While no other process fetches into the folder."""
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        log.info("waiting for another process that fetches %s", web.shown)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _fetch(web: WebFile, folder: Path, max_bytes: int) -> Path:
    """Attempts until the file is whole; then it is checked and gets its name."""
    log.info("fetching %s", web.shown)
    partial = folder / f"{web.name}{PARTIAL}"
    with httpx2.Client(follow_redirects=False, timeout=TIMEOUT_S) as client:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                _receive(client, web, partial, max_bytes)
                break
            except (httpx2.TransportError, _TryAgainError) as error:
                if attempt == ATTEMPTS:
                    reason = str(error) or type(error).__name__
                    raise CheckpointError(f"{web.shown} can't be fetched: {reason}") from error
                time.sleep(PAUSE_S * 2 ** (attempt - 1))
    with partial.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    if web.sha256 not in (None, sha256):
        _discard(partial)
        raise CheckpointError(
            f"{web.shown} isn't what it should be: its SHA-256 is {sha256}, not {web.sha256}"
        )
    record = Record(web.shown, web.name, sha256, partial.stat().st_size)
    (folder / RECORD).unlink(missing_ok=True)  # of an earlier version
    partial.replace(folder / web.name)
    _write_json(folder / RECORD, asdict(record))
    _discard(partial)
    return folder / web.name


class _TryAgainError(Exception):
    """The server may do better the next time."""


def _receive(client: httpx2.Client, web: WebFile, partial: Path, max_bytes: int) -> None:
    """One attempt: goes on with `partial` if that is still the same version, else starts anew."""
    version = _read_version(partial)
    start = partial.stat().st_size if version and partial.is_file() else 0
    headers = {"Accept-Encoding": "identity"}
    if version and start:
        headers |= {"Range": f"bytes={start}-", "If-Range": version}
    with closing(_open(client, web, headers)) as response:
        if response.status_code == 416:
            _discard(partial)
            raise _TryAgainError("the server has another file now")
        _check_answer(response, web)
        if response.status_code == 200:
            start = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            _discard(partial)
            raise _TryAgainError("the server sent another part than was asked for")
        length = response.headers.get("Content-Length", "")
        total = start + int(length) if length.isdigit() else None
        _check_size(total or 0, max_bytes, web)
        about = {"url": web.shown, "version": _version(response.headers)}
        _write_json(_version_file(partial), about)
        _append(response, web, partial, start, total, max_bytes)


def _append(
    response: httpx2.Response,
    web: WebFile,
    partial: Path,
    start: int,
    total: int | None,
    max_bytes: int,
) -> None:
    """Write what comes to `partial`, from byte `start` on."""
    from huggingface_hub.utils import tqdm  # the hub's bars, and its switch to hide them

    bar = tqdm(
        total=total, initial=start, unit="B", unit_scale=True, desc=web.name, disable=None
    )  # fmt: skip
    with closing(bar), partial.open("ab" if start else "wb") as file:
        size = start
        for chunk in response.iter_raw():
            size += file.write(chunk)
            _check_size(size, max_bytes, web)
            bar.update(len(chunk))
        file.flush()
        os.fsync(file.fileno())


def _open(client: httpx2.Client, web: WebFile, headers: Mapping[str, str]) -> httpx2.Response:
    """The answer at the end of the redirects, its body not read yet."""
    url = web.url
    for _ in range(MAX_REDIRECTS + 1):
        response = client.send(client.build_request("GET", url, headers=headers), stream=True)
        if not response.has_redirect_location:
            return response
        response.close()
        location = response.headers["Location"]
        try:
            url = urljoin(url, location)
        except ValueError as error:
            raise CheckpointError(f"{web.shown} is redirected to {location!r}") from error
        _check_safe(url, web)
    raise CheckpointError(f"{web.shown} is redirected more than {MAX_REDIRECTS} times")


def _check_safe(url: str, web: WebFile) -> None:
    """Refuse a URL that isn't https; http is for a server on this machine, asked directly."""
    try:
        httpx2.URL(url)
        asked, reached = urlsplit(web.url), urlsplit(url)
        hosts = {asked.hostname, reached.hostname}
    except (ValueError, httpx2.InvalidURL) as error:
        raise CheckpointError(f"{url!r} is no URL: {error}") from error
    is_local = asked.scheme == reached.scheme == "http" and hosts <= LOOPBACK
    if not reached.hostname or not (reached.scheme == "https" or is_local):
        way = "" if url == web.url else f" is redirected to {WebFile(url).shown}, which"
        raise CheckpointError(f"{web.shown}{way} isn't fetched: only https is")


def _check_answer(response: httpx2.Response, web: WebFile) -> None:
    """Refuse anything but a file, or part of one."""
    status = response.status_code
    if status in (408, 425, 429) or status >= 500:
        raise _TryAgainError(f"the server says {status} {response.reason_phrase}")
    if status not in (200, 206):
        hint = "; signed links expire" if status in (401, 403) else ""
        raise CheckpointError(f"{web.shown}: {status} {response.reason_phrase}{hint}")
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise CheckpointError(f"{web.shown} is a web page, not a file of weights")
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":  # parts of it couldn't be joined, nor its hash be compared
        raise CheckpointError(f"{web.shown} is sent compressed ({encoding}) though none asked")


def _check_size(size: int, max_bytes: int, web: WebFile) -> None:
    if size > max_bytes:
        raise CheckpointError(
            f"{web.shown} is larger than {max_bytes} bytes; FANFARE_MAX_WEIGHTS_BYTES is the limit"
        )


def _version(headers: Mapping[str, str]) -> str | None:
    """What tells a version of the file from others, fit for If-Range; None = nothing does."""
    etag = headers.get("ETag")
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")


def _version_file(partial: Path) -> Path:
    return partial.with_name(f"{partial.name}.json")


def _read_version(partial: Path) -> str | None:
    """Of what has come so far."""
    try:
        version: str | None = json.loads(_version_file(partial).read_text("utf-8"))["version"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return version


def _discard(partial: Path) -> None:
    """Remove what has come so far, and what is known of it."""
    partial.unlink(missing_ok=True)
    _version_file(partial).unlink(missing_ok=True)


def _write_json(file: Path, values: Mapping[str, object]) -> None:
    """Write a file that is never seen half-written."""
    temporary = file.with_name(f"{file.name}.tmp")
    temporary.write_text(json.dumps(values), encoding="utf-8")
    temporary.replace(file)
