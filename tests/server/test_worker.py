"""The worker: from the queue to files, whatever goes wrong on the way."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import soundfile

import fanfare
from fanfare.audio.tags import read_tags
from fanfare.errors import OutputError
from fanfare.model import Model
from fanfare.predict import Progress
from fanfare.server import clerk as clerk_module
from fanfare.server import intake as intake_module
from fanfare.server import worker as worker_module
from fanfare.server.clerk import bar
from fanfare.server.config import ServeConfig
from fanfare.server.files import Files, Meant
from fanfare.server.growing import Growing
from fanfare.server.incoming import StorageFullError
from fanfare.server.records import Prediction, StoreError
from fanfare.server.store import Store
from fanfare.server.worker import Worker
from fanfare.session import MAX_PIECES
from stores import asked

DEADLINE_S = 60.0


@pytest.fixture(scope="module")
def tiny(text_folder: Path) -> Model:
    return fanfare.load(text_folder, device="cpu", engine="torch")


class Stage:
    """A home with a store, and workers that are started in it."""

    def __init__(self, home: Path, model: Model, **settings: Any) -> None:
        self.config = ServeConfig(home=home, **settings)
        self.store = Store(home)
        self.files = Files(home, self.store)
        self.model = model
        self.told: list[dict[str, Any]] = []

    @contextmanager
    def working(self, name: str = "first", grace_s: float = 30.0) -> Iterator[Worker]:
        """A worker on a thread of its own, stopped in the end."""
        worker = Worker(
            name, self.config, self.store, self.files, self.told.append, lambda _: self.model
        )
        thread = threading.Thread(target=worker.run)
        thread.start()
        try:
            yield worker
        finally:
            worker.stop(grace_s)
            thread.join(DEADLINE_S)
            assert not thread.is_alive()

    def ask(self, seed: int | None = 1, /, **inputs: Any) -> str:
        given = {"prompt": "epic brass", "duration": 1, **inputs}
        return self.store.create_prediction(asked(input=given, seed=seed)).id

    def now(self, id: str) -> Prediction:
        found = self.store.prediction(id, None)
        assert found is not None
        return found

    def until(self, id: str, is_so: Callable[[Prediction], bool]) -> Prediction:
        end = time.monotonic() + DEADLINE_S
        while not is_so(found := self.now(id)):
            assert time.monotonic() < end, found
            assert not found.is_final, found
            time.sleep(0.01)
        return found

    def ended(self, id: str) -> Prediction:
        return self.until(id, lambda found: found.is_final)

    def output(self, prediction: Prediction) -> Path:
        assert prediction.output_file is not None, prediction
        return self.files.path(prediction.output_file)


def failing(save: Callable[..., Any], errors: list[Exception]) -> Callable[..., Any]:
    """`save`, once all these errors have been raised."""

    def saves(*args: Any, **more: Any) -> Any:
        if errors:
            raise errors.pop()
        return save(*args, **more)

    return saves


@pytest.fixture
def stage(tmp_path: Path, tiny: Model) -> Iterator[Stage]:
    stage = Stage(tmp_path / "home", tiny)
    yield stage
    stage.store.close()


def test_many_at_once_each_as_it_would_be_alone(stage: Stage, tmp_path: Path) -> None:
    ids = [stage.ask(seed, output_format="mp3" if seed % 3 == 0 else "wav") for seed in range(30)]
    with stage.working():
        made = [stage.ended(id) for id in ids]
    assert {one.status for one in made} == {"succeeded"}
    for seed in (0, 7, 29):
        alone = stage.model.generate(prompt="epic brass", duration=1, seed=seed)
        fmt = "mp3" if seed % 3 == 0 else "wav"
        got, expected = stage.output(made[seed]), alone.to_bytes(fmt)
        info = soundfile.info(got)
        assert info.format == ("MP3" if fmt == "mp3" else "WAV")
        samples = soundfile.read(got)[0]
        (tmp_path / "alone").write_bytes(expected)
        assert (samples == soundfile.read(tmp_path / "alone")[0]).all()
    assert {"ready": True} in stage.told
    assert {hint["changed"] for hint in stage.told if "changed" in hint} == set(ids)
    tags = read_tags(stage.output(made[7]))
    assert tags is not None
    assert (tags.seed, tags.weights) == (7, stage.model.name)


def test_logs_say_how_far_it_is(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    from replicate.prediction import Prediction as Theirs

    monkeypatch.setattr(clerk_module, "LINE_S", 0.0)
    monkeypatch.setattr(worker_module, "TELL_S", 0.05)
    id = stage.ask(5, duration=30)
    with stage.working():
        stage.until(id, lambda now: 0 < now.progress[0] < now.progress[1])
        made = stage.ended(id)
    lines = made.logs.splitlines()
    assert lines[:2] == ["Using seed: 5", "Weights: epic-mini"]
    assert lines[2].startswith("  0%|          | 0/")
    steps = []
    for line in lines[2:]:
        seen = Theirs.Progress.parse(line)
        assert seen is not None, line
        steps.append(seen.current)
    assert steps == sorted(steps)
    assert len(steps) > 2
    assert steps[-1] == seen.total
    assert seen.percentage == 1.0
    assert made.progress == (seen.total, seen.total)


def test_bars_are_those_of_tqdm() -> None:
    assert bar(Progress(0, 500), 0.0) == "  0%|          | 0/500 [00:00<?, ?it/s]\n"
    assert bar(Progress(225, 500), 3.6) == " 45%|████▌     | 225/500 [00:03<00:04, 62.50it/s]\n"
    assert bar(Progress(500, 500), 3700) == ("100%|██████████| 500/500 [1:01:40<00:00, 0.14it/s]\n")


def test_a_seed_that_is_left_open_is_kept(stage: Stage) -> None:
    ids = [stage.ask(None), stage.ask(None, seed=-1), stage.ask(None, seed=0)]
    with stage.working():
        made = [stage.ended(id) for id in ids]
    assert made[0].seed != made[1].seed
    assert made[2].seed == 0
    for one in made:
        assert f"Using seed: {one.seed}\n" in one.logs


def test_a_wrong_recording_fails_alone(stage: Stage) -> None:
    def upload(data: bytes) -> str:
        return stage.files.save([data], Meant(owner="me", name="x.wav"), cap_bytes=2**20).id

    bad = stage.ask(input_audio=upload(b"no sound"), continuation=True)
    gone = stage.ask(input_audio="a" * 26, continuation=True)
    private = stage.ask(input_audio="http://127.0.0.1:9/x.wav", continuation=True)
    good = stage.ask()
    with stage.working():
        made = [stage.ended(id) for id in (bad, gone, private, good)]
    assert [one.status for one in made] == ["failed"] * 3 + ["succeeded"]
    for one in made[:3]:
        assert one.error is not None
        assert one.error.startswith("input_audio: ")
        assert str(stage.config.home) not in one.error
        assert one.started_at is not None


def test_a_recording_is_known_by_its_clients_name(stage: Stage, recording: Path) -> None:
    meant = Meant(owner="me", name="my tune.wav")
    file = stage.files.save([recording.read_bytes()], meant, cap_bytes=2**30)
    id = stage.ask(input_audio=file.id, continuation=True)
    with stage.working():
        made = stage.ended(id)
    tags = read_tags(stage.output(made))
    assert tags is not None
    assert tags.inputs["input_audio"] == "my tune.wav"
    assert soundfile.info(stage.output(made)).duration > 4


def test_cancelled_while_it_waits_and_while_it_is_played(stage: Stage) -> None:
    playing, waiting = stage.ask(duration=300), stage.ask()
    stage.store.request_cancel(waiting, None)
    with stage.working() as worker:
        stage.until(playing, lambda now: now.status == "processing")
        stage.store.request_cancel(playing, None)
        worker.wake()
        following = stage.ask()
        worker.wake()
        assert stage.ended(following).status == "succeeded"
    assert stage.now(playing).status == stage.now(waiting).status == "canceled"


def test_what_takes_too_long_fails(tmp_path: Path, tiny: Model) -> None:
    stage = Stage(tmp_path / "home", tiny, prediction_timeout_s=1)
    id = stage.ask(duration=600)
    with stage.working():
        made = stage.ended(id)
    assert made.status == "failed"
    assert "longer than the 1 s" in (made.error or "")
    stage.store.close()


def test_stopped_in_the_middle_it_goes_on_with_the_next(stage: Stage) -> None:
    long, short = stage.ask(3, duration=60), stage.ask(4)
    with stage.working(grace_s=0.0):
        stage.until(long, lambda now: now.progress[0] > 0 or now.is_final)
    before = stage.now(long)
    assert (before.status, before.tries) == ("starting", 0)
    with stage.working("second"):
        made = stage.ended(long)
        assert stage.ended(short).status == "succeeded"
    assert made.status == "succeeded"
    assert made.tries == 1


def test_a_stop_lets_finish_what_is_played(stage: Stage) -> None:
    id = stage.ask(duration=10)
    with stage.working(grace_s=60.0):
        stage.until(id, lambda now: now.status == "processing")
        later = stage.ask()
    assert stage.now(id).status == "succeeded"
    assert stage.now(later).status in {"starting", "succeeded"}


def test_sound_grows_while_it_is_made_and_goes_when_it_is(stage: Stage) -> None:
    id = stage.ask(duration=60, normalization_strategy="clip")
    growing = Growing(stage.config.home)
    growing.want(id)
    path, sizes = growing.path(id, "wav"), []
    with stage.working():
        stage.until(id, lambda now: path.exists() or now.is_final)
        with path.open("rb") as opened:
            while not stage.now(id).is_final:
                sizes.append(path.stat().st_size if path.exists() else 0)
                time.sleep(0.05)
            heard = opened.read()
        made = stage.now(id)
    assert made.status == "succeeded"
    assert len(set(sizes)) > 3
    assert growing.all() == set()
    finished = soundfile.read(stage.output(made), dtype="int16")[0]
    assert len(heard) == 44 + 2 * finished.shape[0]


def test_a_store_that_is_locked_for_a_while_costs_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = {"n": 0}
    succeed = stage.store.succeed

    def fails_twice(*args: Any, **more: Any) -> bool:
        calls["n"] += 1
        if calls["n"] <= 2:
            raise StoreError("database is locked")
        return succeed(*args, **more)

    monkeypatch.setattr(stage.store, "succeed", fails_twice)
    monkeypatch.setattr(clerk_module, "RETRY_S", 0.01)
    id = stage.ask()
    with stage.working():
        assert stage.ended(id).status == "succeeded"
    assert calls["n"] == 3


def test_a_store_that_is_locked_while_it_is_prepared_leaves_nothing_behind(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, recording: Path
) -> None:
    set_seed, calls = stage.store.set_seed, []

    def fails_twice(*args: Any, **more: Any) -> None:
        calls.append(args)
        if len(calls) <= 2:
            raise StoreError("database is locked")
        set_seed(*args, **more)

    monkeypatch.setattr(stage.store, "set_seed", fails_twice)
    monkeypatch.setattr(intake_module, "POLL_S", 0.01)
    sound = [recording.read_bytes()]
    file = stage.files.save(sound, Meant(owner="me", name="x.wav"), cap_bytes=2**30)
    id = stage.ask(None, input_audio=file.id, continuation=True)
    with stage.working():
        assert stage.ended(id).status == "succeeded"
    assert len(calls) == 3


def test_one_that_was_thought_dead_leaves_its_heir_alone(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With room for one it claims nothing before its heir does.
    monkeypatch.setattr(worker_module, "AHEAD", 1 - MAX_PIECES)
    id = stage.ask(duration=60)
    growing = Growing(stage.config.home)
    growing.want(id)
    with stage.working("first", grace_s=60.0):
        stage.until(id, lambda now: now.progress[0] > 0)
        stage.store.release_claims("first", 2)
        assert [each.id for each in stage.store.claim("heir", 1, 2)] == [id]
        assert stage.store.begin(id, by="heir")
        before = stage.now(id)
    assert stage.now(id) == before
    assert growing.all() == {id}


@pytest.mark.parametrize("error", [OutputError("broken"), OSError("broken")])
def test_what_cannot_be_kept_fails_and_says_so(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(stage.files, "save", failing(stage.files.save, [error]))
    first = stage.ask()
    with stage.working():
        made = stage.ended(first)
        assert stage.ended(stage.ask()).status == "succeeded"
    assert made.status == "failed"
    assert "went wrong inside" in (made.error or "")


@pytest.mark.parametrize("is_patient", [True, False])
def test_a_disk_that_is_full_is_waited_for_but_not_for_ever(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, is_patient: bool
) -> None:
    errors = [StorageFullError() for _ in range(3)]
    monkeypatch.setattr(stage.files, "save", failing(stage.files.save, [*errors]))
    monkeypatch.setattr(clerk_module, "RETRY_S", 0.01)
    if not is_patient:
        monkeypatch.setattr(clerk_module, "FULL_PATIENCE_S", 0.005)
    with stage.working():
        made, last = stage.ended(stage.ask()), stage.ended(stage.ask())
    if is_patient:
        assert (made.status, last.status) == ("succeeded", "succeeded")
    else:  # the second finds it full, too, and isn't waited for again; then there is room
        assert (made.status, last.status) == ("failed", "failed")
        assert "disk is full" in (made.error or "")


def test_the_same_seed_gives_the_same_bytes(stage: Stage) -> None:
    ids = [stage.ask(0), stage.ask(0), stage.ask(1)]
    with stage.working():
        made = [hashlib.sha256(stage.output(stage.ended(id)).read_bytes()).digest() for id in ids]
    assert made[0] == made[1] != made[2]


def test_growing_files_of_what_is_over_are_removed(stage: Stage) -> None:
    over, waits = stage.ask(), stage.ask()
    stage.store.request_cancel(over, None)
    growing = Growing(stage.config.home)
    growing.want(over)
    with stage.working():
        stage.ended(waits)
    assert growing.all() == set()


def test_models_come_and_go_as_they_are_told(tmp_path: Path, tiny: Model) -> None:
    stage = Stage(tmp_path / "home", tiny, models=("epic-mini", "small"))

    def states() -> dict[str, str]:
        models = [hint["models"] for hint in stage.told if "models" in hint]
        return {name: place["state"] for name, place in models[-1].items()} if models else {}

    def until(expected: dict[str, str]) -> dict[str, Any]:
        end = time.monotonic() + DEADLINE_S
        while states() != expected:
            assert time.monotonic() < end, states()
            time.sleep(0.01)
        return next(hint["models"] for hint in reversed(stage.told) if "models" in hint)

    with stage.working() as worker:
        until({"epic-mini": "loaded", "small": "unloaded"})
        worker.shelve("small", is_wanted=True)
        worker.shelve("../elsewhere", is_wanted=True)
        until({"epic-mini": "loaded", "small": "loaded"})
        worker.shelve("epic-mini", is_wanted=False)
        told = until({"epic-mini": "unloaded", "small": "loaded"})
        assert told["small"]["engine"] == "torch float32"
        assert told["epic-mini"]["licence"] == "Apache-2.0"  # its files say so
        assert stage.ended(stage.ask(3)).status == "succeeded"
        until({"epic-mini": "loaded", "small": "loaded"})
    stage.store.close()
