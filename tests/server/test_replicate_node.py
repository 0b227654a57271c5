"""The official JavaScript client, as it comes from npm, against the server; npm/use.cjs uses it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from serving import Served, new_prediction, serving, tone

from fanfare.server.config import REPLICATE_VERSION

pytestmark = pytest.mark.slow
"""Not for its time, but because npm has to fetch the client."""

N_BYTES = len(tone(2.0))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """use.cjs beside the installed client."""
    folder = tmp_path_factory.mktemp("npm") / "program"
    shutil.copytree(Path(__file__).parent / "npm", folder)
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=120)
    return folder / "use.cjs"


def used(program: Path, url: str, token: str, *wanted: str, **environment: str) -> dict[str, Any]:
    recording = program.parent / "in.wav"
    recording.write_bytes(tone(0.25))
    done = subprocess.run(
        ["node", program, url, token, recording, *wanted],
        env={**os.environ, **environment},
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr.decode()
    results: dict[str, Any] = json.loads(done.stdout)
    return results


@pytest.fixture(scope="module")
def results(served: Served, program: Path) -> dict[str, Any]:
    return used(program, served.url, "first-token")


def test_run(results: dict[str, Any]) -> None:
    assert results["run"] == {"head": "RIFF", "size": N_BYTES}
    assert results["runOfModel"] == {"size": N_BYTES}
    assert results["runByPolling"] == {"first": "starting", "last": "succeeded", "size": N_BYTES}
    assert results["seeds"] == {"same": True, "other": False}


def test_failures(results: dict[str, Any]) -> None:
    assert results["fails"]["error"] == "Prediction failed: the strings broke"
    assert results["wrongInput"]["status"] == 422
    assert "input.top_k: Must be greater than or equal to 0" in results["wrongInput"]["error"]
    assert results["wrongToken"]["status"] == 401


def test_cancel(results: dict[str, Any]) -> None:
    expected = {"made": "starting", "canceled": "canceled", "waited": "canceled"}
    assert results["createAndCancel"] == expected
    assert results["abort"] is None


def test_deployments(results: dict[str, Any]) -> None:
    assert results["deployment"] == {"status": "succeeded"}


def test_pages(program: Path, tmp_path: Path) -> None:
    with serving(tmp_path, works=False) as served:
        for _ in range(205):
            served.store.create_prediction(new_prediction())
        assert used(program, served.url, "any", "pages")["pages"]["sizes"] == [100, 100, 5]


def test_files(results: dict[str, Any]) -> None:
    size = len(tone(0.25))
    assert results["buffer"] == {"type": "audio/wav", "size": size, "isListed": True}
    assert results["files"] == {"metadata": {"take": 2}, "gone": True}
    assert results["junk"]["status"] == 422


def test_what_the_client_leaks_is_kept_nowhere(results: dict[str, Any], served: Served) -> None:
    """With data URIs this release sends itself, token included, in place of the inputs."""
    assert "first-token" not in json.dumps(results["dataUris"])
    assert "first-token" not in (served.config.home / "fanfare.db").read_bytes().decode("latin-1")


def test_streams(results: dict[str, Any]) -> None:
    assert results["stream"]["names"][-2:] == ["output", "done"]
    assert results["stream"]["names"][0] == "logs"
    assert results["stream"]["size"] == N_BYTES
    assert "the strings broke" in results["streamFails"]["error"]


def test_catalogue(results: dict[str, Any]) -> None:
    assert results["catalogue"] == {
        "model": REPLICATE_VERSION,
        "version": REPLICATE_VERSION,
        "versions": 1,
        "found": ["epic-mini"],
        "hardware": [{"name": "This server", "sku": "local"}],
        "account": "user",
        "collections": 1,
        "trainings": 0,
    }


def test_webhook_signatures_pass_the_clients_check(results: dict[str, Any]) -> None:
    assert results["webhook"] == {"isValid": True}


def test_https(program: Path, tmp_path: Path, tls: tuple[Path, Path, Path]) -> None:
    with serving(tmp_path, ssl=tls[:2], tokens=("first-token",)) as served:
        over = used(
            program,
            served.url,
            "first-token",
            "run",
            "deployment",
            "stream",
            "pages",
            NODE_EXTRA_CA_CERTS=str(tls[2]),
        )
    assert over["run"] == {"head": "RIFF", "size": N_BYTES}
    assert over["stream"]["size"] == N_BYTES
    assert over["pages"]["output"].startswith("https://localhost:")
