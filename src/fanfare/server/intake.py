"""Intake: predictions that the worker takes on, from their claim until they can be played.

It has a thread of its own, and some for what must be fetched, so that the music never waits for
the store or the network.
"""

from __future__ import annotations

import logging
import secrets
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, cast

from fanfare.errors import FanfareError, InputError
from fanfare.inputs import MAX_SEED, Inputs
from fanfare.rules import OWN
from fanfare.server.config import ServeConfig
from fanfare.server.files import Files
from fanfare.server.growing import Growing
from fanfare.server.netguard import fetch
from fanfare.server.playing import Part
from fanfare.server.records import Prediction, StoreError
from fanfare.server.store import Store

log = logging.getLogger(__name__)

POLL_S = 0.5
FETCH_TIMEOUT_S = 60.0
N_FETCHING = 4


@dataclass(eq=False)
class Job:
    """A prediction that this worker has claimed and not ended yet.

    Attributes:
        part: what is played, once it is known.
        source: the recording it is made from; to be closed in the end.
        until_s: when it has taken too long, by the steady clock; None = it hasn't begun.
        is_late: it was stopped because it took too long.
    """

    prediction: Prediction
    part: Part | None = None
    source: IO[bytes] | None = None
    until_s: float | None = None
    is_late: bool = False


class Jobs:
    """What this worker is at; shared by its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}

    def add(self, job: Job) -> None:
        """Take a job on."""
        with self._lock:
            self._jobs[job.prediction.id] = job

    def get(self, id: str) -> Job | None:
        """A job by its prediction's id."""
        with self._lock:
            return self._jobs.get(id)

    def all(self) -> list[Job]:
        """All of them."""
        with self._lock:
            return list(self._jobs.values())

    def done(self, id: str) -> None:
        """Nothing more is to be done about it."""
        with self._lock:
            job = self._jobs.pop(id, None)
        if job is not None and job.source is not None:
            job.source.close()

    def __len__(self) -> int:
        with self._lock:
            return len(self._jobs)


class Intake:
    """Claims what there is room for, makes parts of it, and watches whether it is still wanted."""

    def __init__(
        self,
        worker: str,
        config: ServeConfig,
        store: Store,
        files: Files,
        jobs: Jobs,
        *,
        max_jobs: int,
        arrived: Callable[[Part], None],
        refused: Callable[[Prediction, str], None],
    ) -> None:
        """Calls, from any thread, `arrived` with what can be played, `refused` with what can't."""
        self._worker, self._config, self._store, self._files = worker, config, store, files
        self._jobs, self._max_jobs = jobs, max_jobs
        self._arrived, self._refused = arrived, refused
        self._growing = Growing(config.home)
        self._awake = threading.Event()
        self._is_closed = False
        self._fetchers = ThreadPoolExecutor(N_FETCHING, thread_name_prefix="fetch")
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)

    def start(self) -> None:
        """Begin to claim."""
        self._thread.start()

    def wake(self) -> None:
        """There may be something new."""
        self._awake.set()

    def close(self) -> None:
        """Claim nothing more."""
        self._is_closed = True
        self._awake.set()
        self._fetchers.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        while not self._is_closed:
            try:
                self._look()
            except StoreError as error:
                log.warning("the store can't be used: %s", error)
                time.sleep(POLL_S)
            except Exception:
                log.exception("taking predictions in went wrong")
                time.sleep(POLL_S)
            self._awake.wait(POLL_S)
            self._awake.clear()

    def _look(self) -> None:
        now = time.monotonic()
        self._watch(now)
        n_free = self._max_jobs - len(self._jobs)
        if n_free <= 0 or self._is_closed:
            return
        for prediction in self._store.claim(self._worker, n_free, self._config.max_tries):
            job = Job(prediction)
            self._jobs.add(job)
            self._fetchers.submit(self._prepare, job)

    def _watch(self, now: float) -> None:
        """Stop what isn't wanted or takes too long; let be heard what somebody listens to."""
        jobs = [job for job in self._jobs.all() if job.part is not None]
        if not jobs:
            return
        ids = [job.prediction.id for job in jobs]
        ended = self._store.cancel_requested(ids, by=self._worker)
        wanted = self._growing.wanted()
        for job in jobs:
            assert job.part is not None
            if job.prediction.id in wanted:
                job.part.listened.set()
            if job.until_s is not None and now > job.until_s:
                job.is_late = True
                job.part.cancelled.set()
            if job.prediction.id in ended:
                job.part.cancelled.set()

    def _prepare(self, job: Job) -> None:
        """Make a part of a prediction; whatever is wrong with it ends it alone."""
        prediction = job.prediction
        try:
            job.part = part = self._surely(job)
            self._arrived(part)
        except InputError as error:
            self._refused(prediction, f"{error.field}: {error.hint}")
        except _ClosedError:
            return  # it is handed back
        except FanfareError as error:
            self._refused(prediction, f"input_audio: {error}")
        except Exception:
            log.exception("prediction %s can't be prepared", prediction.id)
            self._refused(prediction, "Something went wrong inside the server; its log says what.")

    def _surely(self, job: Job) -> Part:
        """`_part`, again and again until the store lets us; nobody else would look after it."""
        while True:
            try:
                return self._part(job)
            except StoreError as error:
                log.warning("the store can't be used, trying again: %s", error)
                if job.source is not None:
                    job.source.close()
            if self._is_closed:
                raise _ClosedError
            time.sleep(POLL_S)

    def _part(self, job: Job) -> Part:
        """What is to be played, the seed fixed for good."""
        prediction = job.prediction
        values = dict(prediction.input)
        if (given := values.get("input_audio")) is not None:
            job.source = values["input_audio"] = self._recording(str(given), prediction.owner)
        # Those of its version were held to when it was created.
        inputs = Inputs.parse(values, rules=OWN.within(max_duration_s=self._config.max_duration_s))
        seed = prediction.seed
        if seed is None:
            is_open = inputs.seed is None or inputs.seed < 0
            seed = secrets.randbelow(MAX_SEED + 1) if is_open else inputs.seed
            assert seed is not None
            self._store.set_seed(prediction.id, seed, by=self._worker)
            job.prediction = replace(prediction, seed=seed)
        fixed = inputs.model_copy(update={"seed": seed})
        return Part(prediction.id, prediction.weights, fixed)

    def _recording(self, given: str, owner: str) -> IO[bytes]:
        """The recording that an input names, open; its name is the client's, for tags."""
        if "://" in given:
            return self._fetched(given)
        file = self._store.file(given, None)
        if file is None:
            raise InputError("input_audio", given, "is here no longer: upload it again")
        try:
            opened = self._files.path(file.id).open("rb", buffering=0)
        except OSError:
            raise InputError("input_audio", given, "is here no longer: upload it again") from None
        return _named(opened, Path(file.name).name or "recording")

    def _fetched(self, url: str) -> IO[bytes]:
        config = self._config
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  closed when the job is done
        try:
            for chunk in fetch(
                url,
                max_bytes=config.max_upload_bytes,
                timeout_s=FETCH_TIMEOUT_S,
                allow_private=config.allow_private_urls,
            ):
                file.write(chunk)
        except BaseException:
            file.close()
            raise
        return _named(file, "recording")


class _ClosedError(Exception):
    """The worker ends; what isn't prepared is another's."""


def _named(file: Any, name: str) -> IO[bytes]:
    """An open file whose name is for tags, instead of one that tells of this machine."""
    file.name = name
    return cast(IO[bytes], file)
