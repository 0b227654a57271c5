"""Faults: each of them once, and that what counts them would see what is wrong."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

import faults
from rig import Clients, Count, Order, Receiver, Server


@pytest.fixture(scope="module")
def music() -> dict[int, str]:
    """What each seed becomes, learnt by whichever fault comes first."""
    return {}


@pytest.mark.slow
@pytest.mark.parametrize("fault", faults.FAULTS)
def test_nothing_is_lost(
    fault: str,
    music: dict[int, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(faults, "learnt", lambda args: music)
    monkeypatch.setattr(faults, "AWAY_S", 3.0)
    monkeypatch.setattr("sys.argv", ["faults.py", "--only", fault, "--repeats=1", "--lock-s=3"])
    faults.main()
    printed = capsys.readouterr().out
    rows = json.loads(printed.splitlines()[-1])["rows"]
    if not rows:
        assert f"{fault}: not here: " in printed
        return
    assert rows[0]["succeeded"] >= faults.AT_ONCE
    assert rows[0]["succeeded"] + rows[0]["failed"] + rows[0]["refused"] == rows[0]["asked"]


@pytest.mark.parametrize(
    "wrong", ["lost", "half_served", "other_bytes", "not_told", "unsigned", "odd"]
)
def test_what_is_wrong_is_bad(wrong: str) -> None:
    assert not Count("worker", times=3, asked=9, refused=2, succeeded=6, failed=1).is_bad
    assert Count("worker", **{wrong: 1}).is_bad


@pytest.fixture
def clients(tmp_path: Path) -> Iterator[Clients]:
    made = Clients(Server(tmp_path, tmp_path / "log"), Count("none"), {1: digest(wav(b"right"))})
    yield made
    for receiver in made.receivers:
        receiver.down()
    made._http.close()


def wav(samples: bytes) -> bytes:
    return b"RIFF" + (4 + len(samples)).to_bytes(4, "little") + b"WAVE" + samples


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_music_is_whole_and_what_its_seed_makes(clients: Clients) -> None:
    order = Order("a" * 26, 1, clients.hook)
    clients._check(order, 200, wav(b"right"))
    assert not clients.count.is_bad
    for code, sound in ((404, b""), (200, wav(b"right")[:-1]), (200, b"")):
        clients._check(order, code, sound)
    assert clients.count.half_served == 3
    clients._check(order, 200, wav(b"wrong"))
    assert clients.count.other_bytes == 1


def test_ends_are_counted_by_message(clients: Clients) -> None:
    hook = clients.hook
    hook.secret = "whsec_" + base64.b64encode(b"key").decode()
    hook.n_refusals = 1

    def tell(id: str, prediction: str, status: str, key: bytes = b"key") -> int:
        body = json.dumps({"id": prediction, "status": status}).encode()
        signature = hmac.digest(key, f"{id}.7.".encode() + body, "sha256")
        headers = {
            "webhook-id": id,
            "webhook-timestamp": "7",
            "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
        }
        return httpx2.post(hook.url, content=body, headers=headers).status_code

    assert tell("m1", "p1", "processing") == 200
    assert tell("m2", "p1", "succeeded") == 503
    assert [tell("m2", "p1", "succeeded") for _ in range(2)] == [200, 200]
    assert tell("m3", "p2", "failed", b"other") == 200
    assert (hook.told, hook.n_unsigned) == ({"p1": ["m2", "m2"], "p2": ["m3"]}, 1)


def test_a_receiver_comes_back_where_it_was() -> None:
    hook = Receiver()
    url = hook.url
    for away in (hook.down, hook.silent):
        away()
        with pytest.raises((httpx2.ConnectError, httpx2.ReadTimeout)):
            httpx2.post(url, content=b"", timeout=0.2)
    hook.up()
    assert hook.url == url
    assert httpx2.get(url).status_code == 501
    hook.down()
