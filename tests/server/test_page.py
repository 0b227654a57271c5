"""The page's files, as they are sent."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from serving import Served, serving

from fanfare.server.playground.pages import FOLDER, Pages


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server with tokens, whose page is a small one of its own."""
    web = tmp_path_factory.mktemp("web")
    (web / "parts").mkdir()
    (web / "index.html").write_text(
        '<script type="module" src="{{assets}}/app.js"></script>'
        '<meta name="root" content="{{root}}"><meta name="nonce" content="{{nonce}}">'
    )
    (web / "app.js").write_text("export const answer = 42;\n" * 100)
    (web / "parts" / "mark.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (web / ".secret.js").write_text("no")
    (web / "notes.py").write_text("no")
    (web.parent / "outside.js").write_text("no")
    with serving(tmp_path_factory.mktemp("home"), works=False, tokens=("token",)) as served:
        served.app.state.pages = Pages(web, "https://music.me/fanfare")
        yield served


@pytest.fixture
def http(site: Served) -> Iterator[httpx.Client]:
    with site.client() as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/p/abc", "/share/whoever-has-it"])
def test_the_page_needs_no_token_and_lets_in_nothing_foreign(http: httpx.Client, path: str) -> None:
    first, again = http.get(path), http.get(path)
    assert first.status_code == 200
    assert first.headers["content-type"] == "text/html; charset=utf-8"
    nonces = []
    for answer in (first, again):
        policy = dict(
            rule.split(" ", 1) for rule in answer.headers["content-security-policy"].split("; ")
        )
        assert policy["default-src"] == policy["script-src"] == "'self'"
        assert "unsafe" not in str(policy)
        assert policy["frame-ancestors"] == policy["object-src"] == "'none'"
        nonce = re.search('name="nonce" content="([^"]+)"', answer.text)
        assert nonce is not None
        assert policy["style-src"] == f"'self' 'nonce-{nonce[1]}'"
        nonces.append(nonce[1])
    assert nonces[0] != nonces[1]
    assert first.headers["referrer-policy"] == "no-referrer"
    assert first.headers["x-content-type-options"] == "nosniff"
    assert 'content="/fanfare/"' in first.text
    assert http.head(path).content == b""


def test_files_are_kept_for_good_below_their_digest(site: Served, http: httpx.Client) -> None:
    found = re.search('src="/fanfare(/web/[0-9a-f]{16})/app.js"', http.get("/").text)
    assert found is not None
    kept = http.get(f"{found[1]}/app.js")
    assert kept.headers["content-type"] == "text/javascript; charset=utf-8"
    assert "immutable" in kept.headers["cache-control"]
    assert kept.headers["content-encoding"] == "gzip"
    assert kept.text.startswith("export const")
    drawing = http.get(f"{found[1]}/parts/mark.svg")
    assert drawing.headers["content-type"] == "image/svg+xml"
    assert "sandbox" in drawing.headers["content-security-policy"]
    old = http.get("/web/0123456789abcdef/app.js")
    assert (old.text, old.headers["cache-control"]) == (kept.text, "no-cache")
    same = http.get("/web/x/app.js", headers={"If-None-Match": old.headers["etag"]})
    assert (same.status_code, same.content) == (304, b"")
    plain = http.get("/web/x/app.js", headers={"Accept-Encoding": "gzip;q=0, identity"})
    assert "content-encoding" not in plain.headers
    assert plain.headers["etag"] != old.headers["etag"]


def test_a_changed_file_has_another_address(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("{{assets}}")
    (tmp_path / "app.js").write_text("1")
    pages = Pages(tmp_path, "http://127.0.0.1:8000")
    before = pages.index("n")
    assert pages.index("n") == before
    (tmp_path / "app.js").write_text("23")
    changed = pages.asset("app.js")
    assert changed is not None
    assert changed.body == b"23"
    assert pages.index("n") != before


@pytest.mark.parametrize(
    "name",
    [
        ".secret.js",
        "notes.py",
        "missing.js",
        "parts",
        "../outside.js",
        "..%2foutside.js",
        "parts/..%2f..%2foutside.js",
        "%2e%2e/outside.js",
        "app.js%00.png",
        "//app.js",
    ],
)
def test_nothing_else_is_sent(http: httpx.Client, name: str) -> None:
    assert http.get(f"/web/x/{name}").status_code == 404


def test_what_is_installed_is_packed_well() -> None:
    """The real page: everything that it names is there, small, and without code inside it."""
    pages = Pages(FOLDER, "http://127.0.0.1:8000")
    made = pages.index("n")
    assert made is not None
    text = made.decode()
    assert "{{" not in text
    names = re.findall(r'(?:src|href)="/web/[0-9a-f]+/([^"]+)"', text)
    assert names
    assert all(pages.asset(name) is not None for name in names)
    assert not re.search(r"<script(?![^>]*\bsrc=)[^>]*>|<style|\sstyle=|\son\w+=", text)
    sizes = [len(path.read_bytes()) for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(sizes) <= 300_000
    asset = pages.asset(names[0])
    assert asset is not None
    assert asset.packed is None or gzip.decompress(asset.packed) == asset.body
