"""The page's road through a whole server: made, heard, looked at, kept, made again."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from test_serve import DEADLINE_S, Serving, served
from typer.testing import CliRunner

from fanfare.cli import app


def entry(server: Serving, id_: str) -> dict[str, Any]:
    found = server.http.get(f"/v1/history/{id_}")
    assert found.status_code == 200, found.text
    made = found.json()
    assert isinstance(made, dict)
    return made


def until(server: Serving, state: str) -> dict[str, Any]:
    end = time.monotonic() + DEADLINE_S
    while (line := server.http.get("/v1/loaded").json()["models"][0])["state"] != state:
        assert time.monotonic() < end, line
        time.sleep(0.05)
    assert isinstance(line, dict)
    return line


@pytest.mark.slow
def test_a_piece_through_a_whole_server(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with served(home) as server:
        place = until(server, "loaded")
        assert (place["licence"], place["is_default"]) == ("Apache-2.0", True)
        assert place["memory_bytes"] > 1e6
        assert place["precision"] is not None
        id_ = server.create(7, duration=20)
        with server.http.stream("GET", entry(server, id_)["audio_url"]) as answer:
            chunks = answer.iter_raw()
            assert next(chunks)[:4] == b"RIFF"
            assert entry(server, id_)["status"] == "processing"  # heard before it is done
            n_bytes = sum(len(chunk) for chunk in chunks)
        assert n_bytes > 20 * 32000 * 2 * 0.95
        server.until(id_, "succeeded")
        made = entry(server, id_)
        assert made["duration_s"] == 20
        assert made["rtf"] > 0
        found = server.http.get(made["analysis_url"], timeout=DEADLINE_S).json()
        assert found["loudness_lufs"] == pytest.approx(-14, abs=0.5)
        assert found["true_peak_dbfs"] < 0.5
        assert max(max(row) for row in found["chroma"]["values"]) == 1
        for name, path in made["downloads"].items():
            file = tmp_path / f"got.{name}"
            file.write_bytes(server.http.get(path, timeout=DEADLINE_S).content)
        server.http.put(f"/v1/history/{id_}", json={"starred": True})
        assert server.http.get("/v1/status").json()["real_time_factor"] > 0
        assert server.http.delete("/v1/loaded/fanfare/epic-mini").status_code == 202
        until(server, "unloaded")
        server.until(server.create(8), "succeeded")  # it is loaded again
        until(server, "loaded")
    with served(home) as server:  # after a restart
        results = server.http.get("/v1/history", params={"starred": True}).json()["results"]
        assert [kept["id"] for kept in results] == [id_]
        assert results[0]["share_url"] == made["share_url"]
        with httpx2.Client(base_url=server.url) as anyone:
            shared = anyone.get(made["share_url"].replace("/share/", "/v1/shared/")).json()
            assert anyone.get(shared["audio_url"]).content == (tmp_path / "got.wav").read_bytes()
    for name in ("wav", "flac"):  # what was downloaded says how it was made
        told = CliRunner().invoke(app, ["again", str(tmp_path / f"got.{name}"), "--json"])
        assert told.exit_code == 0, told.output
        assert json.loads(told.stdout)["is_same"], name
