"""The page itself: static files, sent so that nothing but them can run in it."""

from __future__ import annotations

import gzip
import hashlib
import html
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from fanfare.server.problems import not_found

router = APIRouter(tags=["page"], include_in_schema=False)

FOLDER = Path(__file__).parent.parent / "web"
INDEX = "index.html"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".md": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".png": "image/png",
    ".webp": "image/webp",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
}
"""What is served, by ending; nothing else is."""
PACKED = {".png", ".webp", ".woff2"}
"""Packed already: gzip makes them no smaller."""
MIN_GZIP_BYTES = 600
_NAME = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*/)*[A-Za-z0-9_][A-Za-z0-9_.-]*")

PAGE_HEADERS = {
    "Cache-Control": "no-cache",
    # A share's address is its key: no other site is to learn it.
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


def policy(nonce: str) -> str:
    """The page's Content-Security-Policy: everything from here, nothing inside the HTML itself.

    `nonce` lets in the style that wavesurfer.js puts into its shadow root.
    """
    rules = {
        "default-src": "'self'",
        "script-src": "'self'",
        "style-src": f"'self' 'nonce-{nonce}'",
        "img-src": "'self' data: blob:",
        "media-src": "'self' data: blob:",
        "connect-src": "'self' data: blob:",
        "worker-src": "'self' blob:",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


@dataclass(frozen=True)
class Asset:
    """One static file as it is sent."""

    body: bytes
    packed: bytes | None
    content_type: str
    tag: str


class Pages:
    """The files of a folder, kept in memory; one that changes on the disk is read again."""

    def __init__(self, folder: Path, base_url: str) -> None:
        """`base_url`: what clients reach the server by; it may have a path."""
        self._folder = folder
        self.root = urlsplit(base_url).path.rstrip("/") + "/"
        self._assets: dict[str, tuple[tuple[int, int], Asset]] = {}
        self._digest: tuple[int, str] = (0, "")

    def asset(self, name: str) -> Asset | None:
        """A file by its path below the folder; None when there is none that is served."""
        path = self._folder / name
        content_type = TYPES.get(path.suffix.lower())
        if content_type is None or not _NAME.fullmatch(name) or not path.is_file():
            return None
        about = path.stat()
        state = (about.st_mtime_ns, about.st_size)
        known = self._assets.get(name)
        if known is None or known[0] != state:
            known = self._assets[name] = (state, _asset(path, content_type))
        return known[1]

    def digest(self) -> str:
        """A word that stands for all files as they are now."""
        paths = sorted(path for path in self._folder.rglob("*") if path.suffix in TYPES)
        state = hash(tuple((str(path), path.stat().st_mtime_ns) for path in paths))
        if self._digest[0] != state or not self._digest[1]:
            made = hashlib.sha256()
            for path in paths:
                made.update(f"{path.relative_to(self._folder)}\0".encode())
                made.update(path.read_bytes())
            self._digest = (state, made.hexdigest()[:16])
        return self._digest[1]

    def index(self, nonce: str) -> bytes | None:
        """The page; None when it was not installed."""
        found = self.asset(INDEX)
        if found is None:
            return None
        places = {
            "{{assets}}": f"{self.root}web/{self.digest()}",
            "{{root}}": self.root,
            "{{nonce}}": nonce,
        }
        text = found.body.decode()
        for place, value in places.items():
            text = text.replace(place, html.escape(value))
        return text.encode()


def _asset(path: Path, content_type: str) -> Asset:
    body = path.read_bytes()
    packed = None
    if path.suffix not in PACKED and len(body) >= MIN_GZIP_BYTES:
        packed = gzip.compress(body, mtime=0)
    return Asset(body, packed, content_type, hashlib.sha256(body).hexdigest()[:20])


async def _pages(request: Request) -> Pages:
    pages = request.app.state.pages
    assert isinstance(pages, Pages)
    return pages


HasPages = Annotated[Pages, Depends(_pages)]


@router.head("/")
@router.get("/")
@router.head("/p/{prediction_id}")
@router.get("/p/{prediction_id}")
@router.head("/share/{capability}")
@router.get("/share/{capability}")
def page(pages: HasPages) -> Response:
    """The page; which of its views is shown, it sees by its own address."""
    nonce = secrets.token_urlsafe(16)
    made = pages.index(nonce)
    if made is None:
        raise not_found()
    headers = {**PAGE_HEADERS, "Content-Security-Policy": policy(nonce)}
    return Response(made, headers=headers, media_type=TYPES[".html"])


@router.head("/web/{digest}/{name:path}")
@router.get("/web/{digest}/{name:path}")
def asset(digest: str, name: str, request: Request, pages: HasPages) -> Response:
    """A static file. Under the digest of all files it may be kept for good."""
    found = pages.asset(name)
    if found is None:
        raise not_found()
    is_packed = found.packed is not None and _takes_gzip(request)
    tag = f'"{found.tag}{"-gz" if is_packed else ""}"'
    is_lasting = digest == pages.digest()
    headers = {
        "ETag": tag,
        "Cache-Control": "public, max-age=31536000, immutable" if is_lasting else "no-cache",
        "Vary": "Accept-Encoding",
        "Content-Type": found.content_type,
    }
    if not name.endswith((".js", ".mjs")):  # of scripts, workers would take it for theirs
        # Opened by itself, a file (a drawing, say) runs nothing.
        headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'unsafe-inline'; sandbox"
        )
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if is_packed:
        headers["Content-Encoding"] = "gzip"
    return Response(found.packed if is_packed else found.body, headers=headers)


def _takes_gzip(request: Request) -> bool:
    """Whether gzip is among what the client accepts, and isn't refused there."""
    offered = request.headers.get("accept-encoding", "").lower().split(",")
    kinds = [part.replace(" ", "") for part in offered]
    return any(kind.partition(";")[0] == "gzip" and "q=0" not in kind[-3:] for kind in kinds)
