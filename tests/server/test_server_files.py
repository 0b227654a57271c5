"""Files: whole or not there at all, reached by who may, gone when their time is over."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import anyio
import pytest

from fanfare.server.files import ROOM_BYTES, Files, Meant, is_ours
from fanfare.server.incoming import FileTooLargeError, Incoming, StorageFullError
from fanfare.server.records import StoreError
from fanfare.server.store import ROOM_BYTES as STORE_ROOM_BYTES
from fanfare.server.store import Store
from sounds import sound_file
from stores import Clocks, asked, opened

SAVES_FOR_EVER = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from stores import opened
from fanfare.server.files import Files, Meant
with opened(Path(sys.argv[1])) as store:
    files = Files(Path(sys.argv[1]), store)
    while True:
        file = files.save((os.urandom(50_000) for _ in range(20)), Meant("me"), cap_bytes=10**7)
        print(file.id, flush=True)
"""
BASE = "https://music.example"
BASES = (BASE, "http://127.0.0.1:8000")
MINE = Meant("me")
OUTPUT = Meant("me", "out.wav", "audio/wav", purpose="output")


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def store(tmp_path: Path, clocks: Clocks) -> Iterator[Store]:
    with opened(tmp_path, clocks) as store:
        yield store


@pytest.fixture
def files(tmp_path: Path, store: Store) -> Files:
    return Files(tmp_path, store)


def lying(files: Files) -> list[str]:
    """Every file below the folder."""
    return [path.name for path in files.path("x" * 26).parent.rglob("*") if path.is_file()]


def test_what_is_saved_is_there(files: Files) -> None:
    sound = sound_file("wav", 0.5)
    parts = (sound[start : start + 7] for start in range(0, len(sound), 7))
    meant = Meant("me", "../../etc/pass\r\nwd.wav", "text/html", metadata={"a": 1})
    file = files.save(parts, meant, cap_bytes=len(sound))
    assert files.read(file) == sound
    assert (file.size, file.content_type) == (len(sound), "audio/wav")
    assert file.name == "passwd.wav"
    assert file.sha256 == hashlib.sha256(sound).hexdigest()
    assert file.md5 == hashlib.md5(sound).hexdigest()
    assert files.file_of(file.id) == file
    assert lying(files) == [file.id]


def test_too_large_leaves_nothing(files: Files) -> None:
    with pytest.raises(FileTooLargeError) as caught:
        files.save([b"x" * 60, b"x" * 41], MINE, cap_bytes=100)
    assert caught.value.limit_bytes == 100
    assert lying(files) == []
    assert files.save([b"x" * 100], MINE, cap_bytes=100).size == 100


def test_a_sender_that_goes_away_leaves_nothing(files: Files) -> None:
    async def sent() -> AsyncIterator[bytes]:
        yield b"RIFF"
        await anyio.sleep(60)

    async def give_up() -> None:
        with anyio.move_on_after(0.05):
            await files.save_stream(sent(), MINE, cap_bytes=100)

    anyio.run(give_up)
    assert lying(files) == []


def test_a_stream_is_saved(files: Files) -> None:
    async def sent() -> AsyncIterator[bytes]:
        yield b"ID3"
        yield b"more"

    async def save() -> bytes | None:
        return files.read(await files.save_stream(sent(), MINE, cap_bytes=100))

    assert anyio.run(save) == b"ID3more"


def test_a_full_disk_leaves_nothing(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFullError):
        files.save([b"x"], MINE, cap_bytes=9)
    assert lying(files) == []


def test_room_is_left_for_the_store(
    files: Files, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk what has begun must still be ended, and files deleted."""
    file = files.save([b"x"], MINE, cap_bytes=9)
    free = ROOM_BYTES
    monkeypatch.setattr("fanfare.server.files.free_bytes", lambda folder: free)
    monkeypatch.setattr("fanfare.server.store.free_bytes", lambda folder: free)
    files.save([b"x"], MINE, cap_bytes=9)
    free = ROOM_BYTES - 1
    for meant in (MINE, OUTPUT):
        with pytest.raises(StorageFullError):
            files.save([b"x"], meant, cap_bytes=9)
    store.create_prediction(asked())
    free = STORE_ROOM_BYTES - 1
    with pytest.raises(StoreError, match="full"):
        store.create_prediction(asked())
    assert files.delete(file.id, "me")


def test_uploads_stop_where_storage_does(tmp_path: Path, store: Store) -> None:
    files = Files(tmp_path, store, max_storage_bytes=100)
    files.save([b"x" * 100], MINE, cap_bytes=100)
    with pytest.raises(StorageFullError):
        files.save([b"x"], MINE, cap_bytes=100)
    assert files.save([b"x"], OUTPUT, cap_bytes=100).purpose == "output"


def test_a_finished_file_is_taken_over(files: Files, tmp_path: Path) -> None:
    made = tmp_path / "made.wav"
    made.write_bytes(sound_file("wav", 0.1))
    wanted = made.read_bytes()
    file = files.adopt(made, OUTPUT)
    assert files.read(file) == wanted
    assert not made.exists()


def test_deleting(files: Files) -> None:
    file = files.save([b"x"], MINE, cap_bytes=9)
    assert not files.delete(file.id, "you")
    assert files.delete(file.id, "me")
    assert not files.delete(file.id, "me")
    assert lying(files) == []
    assert files.read(file) is None


def test_what_crashes_left_is_swept(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = files.save([b"kept"], MINE, cap_bytes=9)
    folder = files.path(kept.id).parent
    (folder / "incoming" / "half.part").write_bytes(b"half")
    (folder / ("z" * 26)).write_bytes(b"never known")
    (folder / "streams").mkdir()
    (folder / "streams" / f"{'s' * 26}.wav").write_bytes(b"still growing")
    found = files.derived(kept.id)
    found.parent.mkdir()
    found.write_bytes(b"what was found out about it")
    files.derived("g" * 26).write_bytes(b"about one that is gone")
    assert files.sweep() == 0  # they may be on their way
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 7200)
    assert files.sweep() == 3
    assert sorted(lying(files)) == sorted([kept.id, found.name, f"{'s' * 26}.wav"])
    files.delete(kept.id, "me")
    assert not found.exists()


def test_half_a_file_is_never_under_its_name(tmp_path: Path) -> None:
    path = tmp_path / "whole"
    with Incoming(tmp_path / "part", 100) as incoming:
        incoming.write(b"half")
        assert not path.exists()
        incoming.finish(path)
        assert path.read_bytes() == b"half"
    assert path.exists()


@pytest.mark.parametrize("n_lines", [1, 4])
def test_killed_in_the_middle(
    files: Files, store: Store, tmp_path: Path, n_lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests = str(Path(__file__).parents[1])
    command = [sys.executable, "-c", SAVES_FOR_EVER, str(tmp_path), tests]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as saves:
        assert saves.stdout
        said = [saves.stdout.readline().strip() for _ in range(n_lines)]
        saves.kill()
    known = store.files("me").results
    assert {file.id for file in known} >= set(said)
    for file in known:
        assert hashlib.sha256(files.path(file.id).read_bytes()).hexdigest() == file.sha256
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 7200)
    files.sweep()
    assert sorted(lying(files)) == sorted(file.id for file in known)


def test_download_urls_hold_until_they_expire(files: Files, clocks: Clocks) -> None:
    file = files.save([b"x"], MINE, cap_bytes=9)
    url = files.download_url(BASE, file, 60)
    assert url.startswith(f"{BASE}/v1/files/{file.id}/download?expiry=")
    parts = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert parts["owner"] == "me"
    assert files.by_download(file.id, **parts) == file
    assert files.by_url(url, BASES, "you") == file
    for name, wrong in [
        ("expiry", str(int(parts["expiry"]) + 1)),
        ("expiry", "9" * 400),
        ("expiry", "-1"),
        ("owner", "you"),
        ("signature", parts["signature"][:-2]),
        ("signature", "ü"),
        ("signature", ""),
    ]:
        assert files.by_download(file.id, **{**parts, name: wrong}) is None
    other = files.save([b"x"], MINE, cap_bytes=9)
    assert files.by_download(other.id, **parts) is None
    clocks.pass_(61)
    assert files.by_download(file.id, **parts) is None


def test_output_urls(files: Files, clocks: Clocks) -> None:
    file = files.save([b"x"], OUTPUT, cap_bytes=9)
    url = files.output_url(BASE, file, 400)
    assert url.endswith("/out.wav")
    capability = urlsplit(url).path.split("/")[2]
    assert file.id not in url
    assert files.by_capability(capability) == file
    clocks.pass_(1)
    again = files.output_url(BASE, file, 400)
    clocks.pass_(399)
    assert files.by_url(again, BASES, "you") == file  # at least so long
    clocks.pass_(101)
    assert files.by_capability(capability) is None
    assert files.by_url(files.output_url(BASE, file, 400), BASES, "me") == file
    for wrong in ("", file.capability, f"{capability}0", capability.replace("-", "-f", 1)):
        assert files.by_capability(wrong) is None


def test_the_same_output_has_the_same_url_for_a_while(files: Files, clocks: Clocks) -> None:
    file = files.save([b"x"], OUTPUT, cap_bytes=9)
    urls = []
    for _ in range(100):
        urls.append(files.output_url(BASE, file, 400))
        clocks.pass_(1)
    assert len(set(urls)) <= 2


def test_our_own_urls_are_read_from_the_disk(files: Files) -> None:
    file = files.save([b"x"], MINE, cap_bytes=9)
    for base in (*BASES, "https://music.example:443", "HTTPS://Music.Example"):
        for prefix in ("/v1", "/v1/v1"):
            assert files.by_url(f"{base}{prefix}/files/{file.id}", BASES, "me") == file
            assert files.by_url(f"{base}{prefix}/files/{file.id}", BASES, "you") is None
    for url in (
        f"https://other.example/v1/files/{file.id}",
        f"https://music.example:444/v1/files/{file.id}",
        f"https://music.example@other.example/v1/files/{file.id}",
        f"https://music.example.other.example/v1/files/{file.id}",
        f"file:///v1/files/{file.id}",
        "https://[broken/v1/files",
        "",
    ):
        assert files.by_url(url, BASES, "me") is None
        assert not is_ours(url, BASES)
    for path in ("/v1/files/../files.db", f"/v1/files/{file.id}/../x", "/files/x/y", "/"):
        assert is_ours(BASE + path, BASES)
        assert files.by_url(BASE + path, BASES, "me") is None


def test_a_base_url_with_a_path(files: Files) -> None:
    file = files.save([b"x"], MINE, cap_bytes=9)
    bases = ["https://all.example/music"]
    assert files.by_url(f"{bases[0]}/v1/files/{file.id}", bases, "me") == file
    assert not is_ours(f"https://all.example/v1/files/{file.id}", bases)
    assert not is_ours(f"https://all.example/musical/v1/files/{file.id}", bases)
