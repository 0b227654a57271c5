"""A server on a port of its own, and a worker that makes tones instead of music."""

from __future__ import annotations

import io
import math
import socket
import struct
import threading
import time
import wave
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from fanfare.server.app import BackgroundTask, create_app
from fanfare.server.config import REPLICATE_VERSION, ServeConfig
from fanfare.server.files import Files, Meant
from fanfare.server.growing import Growing
from fanfare.server.records import NewPrediction, Prediction
from fanfare.server.store import Store

SAMPLE_RATE_HZ = 8000
EPIC = "fofr/musicgen-epic:3c7800f6"


def tone(duration_s: float = 1.0, pitch_hz: float = 440.0) -> bytes:
    """A wav file of one tone."""
    n = round(duration_s * SAMPLE_RATE_HZ)
    values = (round(9000 * math.sin(2 * math.pi * pitch_hz * i / SAMPLE_RATE_HZ)) for i in range(n))
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(b"".join(struct.pack("<h", value) for value in values))
    return out.getvalue()


def new_prediction(**values: Any) -> NewPrediction:
    """A prediction as the API would order it."""
    usual: dict[str, Any] = {
        "owner": "",
        "model": "fofr/musicgen-epic",
        "version": REPLICATE_VERSION,
        "weights": "epic-mini",
        "input": {"prompt": "epic"},
        "max_waiting": 1000,
    }
    return NewPrediction(**{**usual, **values})


@dataclass
class FakeWorker:
    """Claims predictions and ends them: with a tone whose pitch its seed sets.

    A prompt may ask for more: "fail …" fails, "slow …" takes until `let_go` is set.
    """

    store: Store
    files: Files
    growing: Growing
    changed: list[Callable[[str], None]] = field(default_factory=list)
    woken: threading.Event = field(default_factory=threading.Event)
    stop: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)
    loaded: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    is_there: bool = True

    def wake(self) -> None:
        self.woken.set()

    def listen(self, changed: Callable[[str], None]) -> None:
        self.changed.append(changed)

    def state(self) -> str:
        return "ready"

    def figures(self) -> Mapping[str, float]:
        return {"steps_per_second": 200.0}

    def models(self) -> Mapping[str, Mapping[str, Any]]:
        return self.loaded

    def shelve(self, name: str, *, is_wanted: bool) -> bool:
        if self.is_there:
            self.loaded[name] = {"state": "loading" if is_wanted else "unloaded"}
        return self.is_there

    def run(self) -> None:
        while not self.stop.is_set():
            self.woken.clear()
            claimed = self.store.claim("fake", 8, 2)
            for prediction in claimed:
                if self.store.begin(prediction.id, by="fake"):
                    self.tell(prediction)
                    threading.Thread(target=self.play, args=(prediction,)).start()
            if not claimed:
                self.woken.wait(0.05)

    def tell(self, prediction: Prediction) -> None:
        for changed in self.changed:
            changed(prediction.id)

    def play(self, prediction: Prediction) -> None:
        id_ = prediction.id
        prompt = str(prediction.input.get("prompt", ""))
        self.store.add_logs(id_, f"Using seed: {prediction.seed}\n", by="fake")
        sound = tone(prediction.input.get("duration", 8) / 4, 200 + (prediction.seed or 0) % 500)
        if prompt.startswith("slow"):
            self._play_slowly(id_, sound)
        self.store.add_logs(id_, "100%|██████████| 400/400 [00:01<00:00]\n", (400, 400), by="fake")
        if prompt.startswith("fail"):
            self.store.fail(id_, "the strings broke", by="fake")
        else:
            meant = Meant(prediction.owner, "music.wav", "audio/wav", "output", id_)
            file = self.files.save([sound], meant, cap_bytes=2**30)
            if not self.store.succeed(id_, file.id, {"real_time_factor": 8.0}, by="fake"):
                self.files.delete(file.id, None)
        self.growing.remove(id_)
        self.tell(prediction)

    def _play_slowly(self, id_: str, sound: bytes) -> None:
        self.store.add_logs(id_, " 45%|████▌     | 180/400 [00:01<00:01]\n", (180, 400), by="fake")
        path = self.growing.path(id_, "wav")
        half = len(sound) // 2
        while not self.let_go.wait(0.02) and not self.stop.is_set():
            if id_ in self.growing.wanted() and not path.exists():
                path.write_bytes(sound[:half])
        if path.exists():
            with path.open("ab") as file:
                file.write(sound[half:])
            time.sleep(0.05)


@dataclass(frozen=True)
class Served:
    """A running server."""

    url: str
    config: ServeConfig
    store: Store
    files: Files
    worker: FakeWorker
    app: Any

    def client(self, token: str | None = None) -> httpx.Client:
        """A plain HTTP client."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=20)


@contextmanager
def serving(
    home: Path,
    *,
    works: bool = True,
    ssl: tuple[Path, Path] | None = None,
    tasks: Sequence[BackgroundTask] = (),
    **config: Any,
) -> Iterator[Served]:
    """A server on a real socket. works=False: nobody claims anything.

    ssl: its certificate's and its key's file.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    made = ServeConfig(home=home, port=port, **config)
    if ssl is not None:
        made = replace(made, public_url=f"https://localhost:{port}")
    store = Store(home)
    files = Files(home, store)
    worker = FakeWorker(store, files, Growing(home))
    app = create_app(made, store, files, worker, tasks=tasks)
    options: dict[str, Any] = {}
    if ssl is not None:
        options = {"ssl_certfile": str(ssl[0]), "ssl_keyfile": str(ssl[1])}
    server = uvicorn.Server(
        uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", **options)
    )
    threads = [threading.Thread(target=server.run, kwargs={"sockets": [listener]})]
    if works:
        threads.append(threading.Thread(target=worker.run))
    for thread in threads:
        thread.start()
    while not server.started:
        assert threads[0].is_alive(), "the server did not start"
        time.sleep(0.01)
    try:
        yield Served(made.base_url, made, store, files, worker, app)
    finally:
        worker.let_go.set()
        worker.stop.set()
        server.should_exit = True
        for thread in threads:
            thread.join(20)
        listener.close()
        store.close()
