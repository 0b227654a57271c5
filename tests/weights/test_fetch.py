"""Files of the web arrive whole, once, and are what they should be."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from fanfare.errors import CheckpointError
from fanfare.weights import fetch as fetching
from fanfare.weights.fetch import cached_file, fetch, parse_url, read_record
from web import Answer, Web, serving

BODY = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(BODY).hexdigest()
LIMIT = 10**6


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    """A server with one file, on a machine that doesn't wait between attempts."""
    monkeypatch.setattr(fetching, "PAUSE_S", 0.0)
    with serving() as server:
        server.answers["/a/trained_model.tar"] = Answer(BODY)
        yield server


def get(url: str, cache: Path, *, limit: int = LIMIT) -> Path:
    return fetch(parse_url(url), cache, max_bytes=limit)


def names(cache: Path) -> list[str]:
    """Of the files in the cache, locks left out."""
    return sorted(p.name for p in cache.rglob("*") if p.is_file() and p.name != ".lock")


def test_a_file_is_fetched_once_and_recorded(web: Web, tmp_path: Path) -> None:
    url = f"{web.url}/a/trained_model.tar"
    path = get(f"{url}?signature=secret", tmp_path)
    assert path.read_bytes() == BODY
    assert names(tmp_path) == ["record.json", "trained_model.tar"]
    record = read_record(path.parent)
    assert record is not None
    assert (record.sha256, record.size_bytes, record.url) == (SHA256, len(BODY), url)
    assert get(f"{url}?signature=secret", tmp_path) == path
    assert len(web.asked) == 1
    assert get(url, tmp_path) != path  # another URL is another file


def test_names_are_fit_for_a_disk() -> None:
    for url, name in (
        ("https://a.example/x/y%2F..%2F.z", "z"),
        ("https://a.example/", "weights"),
        ("https://a.example/pbxt/AbC123", "AbC123"),
        ("https://a.example/a b$.tar?x=/y", "a_b_.tar"),
        ("https://a.example/" + "x" * 500, "x" * 100),
    ):
        assert parse_url(url).name == name
    assert parse_url("https://me:pass@a.example:8443/f?key=1").shown == "https://a.example:8443/f"


@pytest.mark.parametrize("cut", [1, 100_000, len(BODY) - 1])
def test_it_goes_on_where_it_was_cut_off(web: Web, tmp_path: Path, cut: int) -> None:
    web.answers["/a/trained_model.tar"].cuts = [cut, 50_000]
    assert get(f"{web.url}/a/trained_model.tar", tmp_path).read_bytes() == BODY
    ranges = [wanted for _, _, wanted in web.asked]
    assert ranges[:2] == [None, f"bytes={cut}-"]
    assert names(tmp_path) == ["record.json", "trained_model.tar"]


def test_it_goes_on_in_another_process(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "ATTEMPTS", 1)
    web.answers["/a/trained_model.tar"].cuts = [300_000]
    url = f"{web.url}/a/trained_model.tar"
    with pytest.raises(CheckpointError, match="can't be fetched"):
        get(url, tmp_path)
    assert cached_file(parse_url(url), tmp_path) is None
    assert names(tmp_path) == ["trained_model.tar.partial", "trained_model.tar.partial.json"]
    assert get(url, tmp_path).read_bytes() == BODY
    assert web.asked[-1][2] == "bytes=300000-"


@pytest.mark.parametrize("etag", ['"2"', 'W/"1"', None])
def test_parts_of_different_versions_are_never_joined(
    web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, etag: str | None
) -> None:
    """The file changes between two attempts, or can't be told from a changed one."""
    monkeypatch.setattr(fetching, "ATTEMPTS", 1)
    url = f"{web.url}/a/trained_model.tar"
    old = Answer(BODY[::-1], etag='"1"' if etag == '"2"' else etag, cuts=[300_000])
    web.answers["/a/trained_model.tar"] = old
    with pytest.raises(CheckpointError):
        get(url, tmp_path)
    web.answers["/a/trained_model.tar"] = Answer(BODY, etag=etag)
    assert get(url, tmp_path).read_bytes() == BODY


def test_a_server_without_ranges_starts_anew(web: Web, tmp_path: Path) -> None:
    web.answers["/a/trained_model.tar"].cuts = [1000]
    web.answers["/a/trained_model.tar"].knows_ranges = False
    assert get(f"{web.url}/a/trained_model.tar", tmp_path).read_bytes() == BODY


def test_a_part_beyond_the_end_is_thrown_away(web: Web, tmp_path: Path) -> None:
    url = f"{web.url}/a/trained_model.tar"
    folder = parse_url(url).folder(tmp_path)
    folder.mkdir(parents=True)
    (folder / "trained_model.tar.partial").write_bytes(b"x" * (len(BODY) + 5))
    (folder / "trained_model.tar.partial.json").write_text(json.dumps({"version": '"1"'}))
    assert get(url, tmp_path).read_bytes() == BODY
    assert [wanted for _, _, wanted in web.asked] == [f"bytes={len(BODY) + 5}-", None]


def test_a_server_that_is_busy_is_asked_again(web: Web, tmp_path: Path) -> None:
    web.answers["/a/trained_model.tar"].statuses = [503, 429, 500]
    assert get(f"{web.url}/a/trained_model.tar", tmp_path).read_bytes() == BODY
    assert len(web.asked) == 4
    web.answers["/b"] = Answer(status=503)
    with pytest.raises(CheckpointError, match="can't be fetched: the server says 503"):
        get(f"{web.url}/b", tmp_path)


@pytest.mark.parametrize("says_length", [True, False])
def test_too_large(web: Web, tmp_path: Path, says_length: bool) -> None:
    web.answers["/a/trained_model.tar"].says_length = says_length
    with pytest.raises(CheckpointError, match="larger than 100000 bytes; FANFARE_MAX_WEIGHTS"):
        get(f"{web.url}/a/trained_model.tar", tmp_path, limit=100_000)
    assert "trained_model.tar" not in names(tmp_path)
    web.answers["/a/trained_model.tar"].says_length = True
    assert get(f"{web.url}/a/trained_model.tar", tmp_path, limit=len(BODY)).read_bytes() == BODY


def test_sha256(web: Web, tmp_path: Path) -> None:
    url = f"{web.url}/a/trained_model.tar"
    with pytest.raises(CheckpointError, match=f"its SHA-256 is {SHA256}, not {'0' * 64}"):
        get(f"{url}#sha256={'0' * 64}", tmp_path)
    assert names(tmp_path) == []
    path = get(f"{url}#sha256={SHA256.upper()}", tmp_path)
    assert get(url, tmp_path) == path
    # What is wanted now isn't what came then: it is fetched again, and takes its place.
    web.answers["/a/trained_model.tar"] = Answer(BODY[:-1], etag='"2"')
    other = hashlib.sha256(BODY[:-1]).hexdigest()
    assert get(f"{url}#sha256={other}", tmp_path).read_bytes() == BODY[:-1]
    record = read_record(path.parent)
    assert record is not None
    assert record.sha256 == other


@pytest.mark.parametrize("damage", ["shorter", "no record", "no json"])
def test_what_was_tampered_with_is_fetched_again(web: Web, tmp_path: Path, damage: str) -> None:
    url = f"{web.url}/a/trained_model.tar"
    path = get(url, tmp_path)
    if damage == "shorter":
        path.write_bytes(b"short")
    elif damage == "no record":
        (path.parent / "record.json").unlink()
    else:
        (path.parent / "record.json").write_text('{"url": 1')
    assert cached_file(parse_url(url), tmp_path) is None
    assert get(url, tmp_path).read_bytes() == BODY


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (Answer(status=404), "404 Not Found$"),
        (Answer(status=403), "403 Forbidden; signed links expire"),
        (Answer(b"<html>", content_type="text/html; charset=utf-8"), "is a web page"),
        (Answer(b"x", headers={"Content-Encoding": "gzip"}), "is sent compressed"),
        (Answer(status=302, location="http://a.example/x"), "to http://a.example/x, which isn't"),
        (Answer(status=302, location="ftp://127.0.0.1/x"), "only https is"),
        (Answer(status=302, location="file:///etc/passwd"), "only https is"),
        (Answer(status=302, location="https://[x"), "redirected to 'https://"),
        (Answer(status=302, location="/file"), "redirected more than 5 times"),
    ],
)
def test_refused_answers(web: Web, tmp_path: Path, answer: Answer, complaint: str) -> None:
    web.answers["/file"] = answer
    with pytest.raises(CheckpointError, match=complaint):
        get(f"{web.url}/file", tmp_path)
    assert names(tmp_path) == []
    assert {path for _, path, _ in web.asked} == {"/file"}


def test_redirects_are_followed(web: Web, tmp_path: Path) -> None:
    web.answers["/old"] = Answer(status=301, location="/older")
    web.answers["/older"] = Answer(status=307, location=f"{web.url}/a/trained_model.tar")
    path = get(f"{web.url}/old", tmp_path)
    assert (path.name, path.read_bytes()) == ("old", BODY)


@pytest.mark.parametrize(
    "url",
    ["http://a.example/x", "ftp://a.example/x", "https:///x", "http://127.0.0.1.a.example/x",
     "http://127.0.0.1@a.example/x", "https://a.example:port/x", "https://[/x"],
)  # fmt: skip
def test_urls_that_are_never_asked(url: str) -> None:
    with pytest.raises(CheckpointError):
        parse_url(url)


@pytest.mark.parametrize("fragment", ["sha256=abc", "md5=00", "x", f"sha256={'g' * 64}"])
def test_fragments(fragment: str) -> None:
    with pytest.raises(CheckpointError, match="sha256= and 64 hexadecimal digits"):
        parse_url(f"https://a.example/x#{fragment}")


def test_two_at_once_fetch_it_once(web: Web, tmp_path: Path) -> None:
    paths: list[Path] = []
    threads = [
        threading.Thread(
            target=lambda: paths.append(get(f"{web.url}/a/trained_model.tar", tmp_path))
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [path.read_bytes() for path in paths] == [BODY] * 4
    assert len(web.asked) == 1


def test_a_cache_that_cant_be_written(web: Web, tmp_path: Path) -> None:
    (tmp_path / "urls").write_text("a file")
    with pytest.raises(CheckpointError, match="can't be kept in"):
        get(f"{web.url}/a/trained_model.tar", tmp_path)
