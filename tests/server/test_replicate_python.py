"""The official Python client, as it comes from PyPI, against the server."""

from __future__ import annotations

import asyncio
import base64
import io
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import pytest
from replicate.client import Client
from replicate.exceptions import ModelError, ReplicateError
from replicate.helpers import FileOutput
from serving import EPIC, Served, serving, tone
from standardwebhooks import Webhook

from fanfare.server.config import REPLICATE_VERSION

MODEL = "fofr/musicgen-epic"


@contextmanager
def connected(url: str, token: str) -> Iterator[Client]:
    """A client whose connections are closed in the end."""
    made = Client(api_token=token, base_url=url)
    yield made
    made._client.close()


@pytest.fixture
def client(served: Served, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setenv("REPLICATE_POLL_INTERVAL", "0.05")
    with connected(served.url, "first-token") as made:
        yield made


@pytest.fixture
def other(served: Served) -> Iterator[Client]:
    with connected(served.url, "other-token") as made:
        yield made


def seconds(sound: bytes) -> float:
    """How long a wav file lasts; the worker here makes a quarter of what it is asked for."""
    with wave.open(io.BytesIO(sound)) as file:
        return 4 * file.getnframes() / file.getframerate()


@pytest.mark.parametrize("reference", [EPIC, f"{MODEL}:{REPLICATE_VERSION}", MODEL])
def test_run_returns_the_file(client: Client, reference: str) -> None:
    output = client.run(reference, input={"prompt": "epic", "duration": 8})
    assert isinstance(output, FileOutput)
    assert seconds(output.read()) == 8
    assert b"".join(output) == output.read()


def test_run_without_waiting_polls(client: Client) -> None:
    output = client.run(EPIC, input={"prompt": "epic", "seed": None}, wait=False)
    assert isinstance(output, FileOutput)


def test_run_goes_on_polling_when_the_wait_is_over(served: Served, client: Client) -> None:
    import threading

    threading.Timer(1.5, served.worker.let_go.set).start()
    try:
        output = client.run(EPIC, input={"prompt": "slow"}, wait=1)
    finally:
        served.worker.let_go.clear()
    assert isinstance(output, FileOutput)


def test_async_run(served: Served) -> None:
    async def run() -> bytes:
        client = Client(api_token="first-token", base_url=served.url)
        output = await client.async_run(EPIC, input={"prompt": "epic"})
        sound: bytes = await output.aread()
        await client._async_client.aclose()
        return sound

    assert seconds(asyncio.run(run())) == 8


def test_the_async_methods(served: Served) -> None:
    async def use() -> None:
        client = Client(api_token="first-token", base_url=served.url)
        made = await client.predictions.async_create(version=EPIC, input={"prompt": "slow"})
        await made.async_cancel()
        await made.async_reload()
        assert made.status == "canceled"
        assert made.id in [one.id for one in await client.predictions.async_list()]
        done = await client.predictions.async_create(version=EPIC, input={"prompt": "epic"})
        await done.async_wait()
        assert done.output.startswith("data:audio/wav")
        names = [
            event.event.value
            async for event in await client.async_stream(EPIC, input={"prompt": "epic"})
        ]
        assert names[-1] == "done"
        await client._async_client.aclose()

    asyncio.run(use())


def test_same_seed_same_bytes(client: Client) -> None:
    runs = [client.run(EPIC, input={"prompt": "x", "seed": seed}).read() for seed in (7, 7, 0)]
    assert runs[0] == runs[1] != runs[2]


def test_failure_is_a_model_error(client: Client) -> None:
    with pytest.raises(ModelError, match="the strings broke") as caught:
        client.run(EPIC, input={"prompt": "fail"})
    assert caught.value.prediction.status == "failed"
    assert "Using seed" in caught.value.prediction.logs


def test_wrong_inputs_are_told(client: Client) -> None:
    with pytest.raises(ReplicateError) as caught:
        client.run(EPIC, input={"prompt": "x", "top_k": -1})
    assert caught.value.status == 422
    assert caught.value.title == "Input validation failed"
    assert caught.value.detail == "- input.top_k: Must be greater than or equal to 0\n"


def test_unknown_version(client: Client) -> None:
    with pytest.raises(ReplicateError) as caught:
        client.run(f"{MODEL}:{'0' * 64}", input={"prompt": "x"})
    assert caught.value.status == 422
    assert caught.value.title == "Invalid version or not permitted"


def test_wrong_token(served: Served) -> None:
    with connected(served.url, "wrong") as client, pytest.raises(ReplicateError) as caught:
        client.predictions.list()
    assert caught.value.status == 401
    assert caught.value.title == "Unauthenticated"


def test_create_then_wait_then_reload(client: Client) -> None:
    prediction = client.predictions.create(version=REPLICATE_VERSION, input={"prompt": "slow"})
    assert prediction.status == "starting"
    assert prediction.version == REPLICATE_VERSION
    assert prediction.started_at is None
    while prediction.progress is None:
        prediction.reload()
    assert prediction.progress.current == 180
    assert prediction.progress.percentage == 0.45
    prediction.cancel()
    assert prediction.status == "canceled"
    prediction.wait()
    assert prediction.output is None


def test_model_predictions_and_deployments(client: Client) -> None:
    for create in (
        client.models.predictions.create,
        lambda name, input: client.deployments.predictions.create(name, input=input),
    ):
        prediction = create(MODEL, input={"prompt": "epic"})
        prediction.wait()
        assert prediction.status == "succeeded"
        assert prediction.metrics["predict_time"] > 0
        assert prediction.model == MODEL


def test_list_and_pages(served: Served, other: Client) -> None:
    made = [other.predictions.create(version=EPIC, input={"prompt": str(i)}).id for i in range(105)]
    first = other.predictions.list()
    assert [one.id for one in first] == made[:4:-1]
    assert first.previous is None
    assert first.next.startswith(f"{served.url}/v1/predictions?cursor=")
    second = other.predictions.list(first.next)
    assert [one.id for one in second] == made[4::-1]
    assert second.next is None
    back = other.predictions.list(second.previous)
    assert [one.id for one in back] == made[:4:-1]


def test_predictions_are_the_token_holders_own(client: Client, other: Client) -> None:
    prediction = client.predictions.create(version=EPIC, input={"prompt": "mine"})
    for use in (other.predictions.get, other.predictions.cancel):
        with pytest.raises(ReplicateError, match="404"):
            use(prediction.id)
    assert prediction.id not in [one.id for one in other.predictions.list()]


@pytest.mark.parametrize("kind", ["file", "path", "bytes", "data", "base64"])
def test_file_inputs(served: Served, client: Client, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "in.wav"
    path.write_bytes(tone(0.25))
    encoded = base64.b64encode(tone(0.25)).decode()
    more = {"file_encoding_strategy": "base64"} if kind == "base64" else {}
    with path.open("rb") as file:
        source = {
            "file": file,
            "path": path,
            "bytes": io.BytesIO(path.read_bytes()),
            "data": f"data:audio/wav;base64,{encoded}",
            "base64": file,
        }[kind]
        prediction = client.predictions.create(
            version=EPIC, input={"prompt": "x", "input_audio": source}, **more
        )
    shown = prediction.input["input_audio"]
    assert shown.startswith(f"{served.url}/v1/files/")
    kept = served.store.prediction(prediction.id, None)
    assert kept is not None
    assert served.files.path(kept.input["input_audio"]).read_bytes() == tone(0.25)
    uploaded = client.files.get(shown.rsplit("/", 1)[1])
    assert uploaded.content_type == "audio/wav"
    assert uploaded.size == path.stat().st_size


def test_urls_elsewhere_are_left_to_the_worker(served: Served, client: Client) -> None:
    url = "https://example.com/v1/files/song.wav"
    prediction = client.predictions.create(version=EPIC, input={"prompt": "x", "input_audio": url})
    kept = served.store.prediction(prediction.id, None)
    assert kept is not None
    assert kept.input["input_audio"] == url == prediction.input["input_audio"]


def test_files(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "melody.wav"
    path.write_bytes(tone(0.5))
    made = client.files.create(path, metadata={"take": 2})
    assert made.name == "melody.wav"
    assert made.metadata == {"take": 2}
    assert made.checksums["sha256"]
    assert client.files.get(made.id).etag == made.etag
    assert made.id in [one.id for one in client.files.list()]
    client.files.delete(made.id)
    with pytest.raises(ReplicateError, match="404"):
        client.files.get(made.id)


def test_an_output_may_be_the_next_input(served: Served, client: Client) -> None:
    client.run(EPIC, input={"prompt": "first"})
    url = client.predictions.list()[0].output
    assert url.startswith(f"{served.url}/files/")
    prediction = client.predictions.create(version=EPIC, input={"prompt": "x", "input_audio": url})
    kept = served.store.prediction(prediction.id, None)
    assert kept is not None
    assert served.files.path(kept.input["input_audio"]).is_file()


def test_stream(client: Client) -> None:
    events = list(client.stream(EPIC, input={"prompt": "epic"}))
    names = [event.event.value for event in events]
    assert names[0] == "logs"
    assert names[-2:] == ["output", "done"]
    assert isinstance(events[-2].data, FileOutput)
    assert events[-1].data == "{}"
    with pytest.raises(RuntimeError, match="the strings broke"):
        list(client.stream(EPIC, input={"prompt": "fail"}))


def test_catalogue(client: Client) -> None:
    model = client.models.get(MODEL)
    assert "epic-mini" in model.description
    assert [one.id for one in model.versions.list()] == [REPLICATE_VERSION]
    found = model.versions.get("3c7800f6")
    assert found.id == REPLICATE_VERSION == model.latest_version.id
    inputs = found.openapi_schema["components"]["schemas"]["Input"]["properties"]
    assert list(inputs)[:3] == ["prompt", "input_audio", "duration"]
    assert len(inputs) == 14
    assert [one.name for one in client.models.list()] == ["musicgen-epic", "epic-mini"]
    assert [one.name for one in client.models.search("built epic-mini")] == []
    assert [one.name for one in client.models.search("fanfare")] == ["epic-mini"]
    assert client.collections.get(client.collections.list()[0].slug).models
    assert client.hardware.list()[0].sku == "local"
    assert client.accounts.current().type == "user"
    assert list(client.trainings.list()) == []
    with pytest.raises(ReplicateError, match="422"):
        client.trainings.create(f"{MODEL}:{REPLICATE_VERSION}", {"a": 1}, "me/mine")


def test_webhook_signatures_pass_the_clients_check(client: Client) -> None:
    from datetime import UTC, datetime

    from replicate.webhook import Webhooks

    secret = client.webhooks.default.secret()
    now = datetime.now(UTC)
    body = '{"id":"x"}'
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret.key).sign("msg_1", now, body),
    }
    Webhooks.validate(headers=headers, body=body, secret=secret)


def test_https_urls_are_files_too(
    tmp_path: Path, tls: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls[2]))
    with serving(tmp_path, ssl=tls[:2]) as served, connected(served.url, "any") as client:
        assert served.url.startswith("https://localhost:")
        output = client.run(EPIC, input={"prompt": "epic"})
        assert isinstance(output, FileOutput)
        assert output.url.startswith(f"{served.url}/files/")
        assert output.url.endswith(".wav")
        assert seconds(output.read()) == 8


def test_the_package_is_the_published_one() -> None:
    assert version("replicate") == "1.0.7"
