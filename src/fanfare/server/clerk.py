"""Clerk: writes down what comes of playing: states, logs, growing sound, finished files.

It has a thread of its own, so that the music doesn't wait for the disk. What it can't write into
the store now it tries again for as long as it takes; music that finds no room, for a minute.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from fanfare.predict import Progress
from fanfare.server.config import ServeConfig
from fanfare.server.files import Files, Meant
from fanfare.server.growing import Growing
from fanfare.server.incoming import StorageFullError
from fanfare.server.intake import Jobs
from fanfare.server.playing import Began, Heard, Part, Played, PlayEvent, Refused, Stopped
from fanfare.server.records import Prediction, StoreError
from fanfare.server.sound import GrowingSound
from fanfare.server.store import Store
from fanfare.server.versions import shown_name

log = logging.getLogger(__name__)

LINE_S = 1.0
"""At least between two lines of a prediction's logs; more where many are played."""
LINES_PER_S = 8
RETRY_S = 0.5
FULL_PATIENCE_S = 60.0
"""So long may a disk be full before music that is made is given up: for those that wait, too."""
BAR = 10
MAX_BYTES = 2**40

T = TypeVar("T")


@dataclass(frozen=True)
class Unprepared:
    """A prediction that could not even become a part."""

    prediction: Prediction
    reason: str


@dataclass(frozen=True)
class Came:
    """How far parts have come, by id."""

    progress: Mapping[str, Progress]


News = PlayEvent | Unprepared | Came


@dataclass(eq=False)
class _Log:
    """Of one prediction that is played.

    Attributes:
        began_s: by the steady clock.
        told_s: when the last line was written.
        sound: what somebody listens to.
    """

    began_s: float
    told_s: float
    progress: Progress | None = None
    sound: GrowingSound | None = None


class Clerk:
    """Takes news in and writes it down, in order."""

    def __init__(
        self,
        worker: str,
        config: ServeConfig,
        store: Store,
        files: Files,
        jobs: Jobs,
        changed: Callable[[str], None],
    ) -> None:
        """`changed` is called with the id of each prediction that has changed."""
        self._worker, self._config, self._store, self._files = worker, config, store, files
        self._jobs, self._changed = jobs, changed
        self._growing = Growing(config.home)
        self._news: queue.SimpleQueue[News | None] = queue.SimpleQueue()
        self._logs: dict[str, _Log] = {}
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="clerk", daemon=True)
        self._full_since_s: float | None = None
        self.audio_s = 0.0  # made so far

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def take(self, news: News) -> None:
        """Something has happened. From any thread."""
        self._news.put(news)

    def close(self, timeout_s: float) -> bool:
        """Write what is known and nothing after it; False when that didn't succeed in time."""
        self._news.put(None)
        self._thread.join(timeout_s)
        self._is_closed = True
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (news := self._news.get()) is not None:
            try:
                self._write(news)
            except _ClosedError:
                return
            except Exception:
                log.exception("writing down %s went wrong", type(news).__name__)
                self._fail_after(news)

    def _write(self, news: News) -> None:
        if isinstance(news, Began):
            self._begin(news)
        elif isinstance(news, Heard):
            self._hear(news)
        elif isinstance(news, Came):
            self._tell(news)
        elif isinstance(news, Played):
            self._finish(news)
        elif isinstance(news, Unprepared):
            self._fail(news.prediction.id, news.reason)
        elif isinstance(news, Refused):
            self._fail(news.part.id, news.reason)
        else:
            self._stop(news)

    def _begin(self, news: Began) -> None:
        part = news.part
        job = self._jobs.get(part.id)
        assert job is not None, part.id
        if not self._surely(lambda: self._store.begin(part.id, by=self._worker)):
            part.cancelled.set()  # comes back as stopped
            return
        now = time.monotonic()
        job.until_s = now + self._config.prediction_timeout_s
        self._logs[part.id] = _Log(now, now)
        lines = [f"Using seed: {part.inputs.seed}", f"Weights: {shown_name(part.weights)}"]
        lines += [f"Note: {notice}" for notice in news.notices]
        text = "".join(f"{line}\n" for line in lines) + bar(Progress(0, part.n_steps), 0.0)
        steps = (0, part.n_steps)
        self._surely(lambda: self._store.add_logs(part.id, text, steps, by=self._worker))
        self._changed(part.id)

    def _hear(self, news: Heard) -> None:
        """Let a growing file grow; a disk that is full ends that, and nothing else."""
        about = self._logs.get(news.part.id)
        if about is None:
            return
        path = self._growing.path(news.part.id, news.part.inputs.output_format)
        try:
            if about.sound is None:
                about.sound = GrowingSound(path, news.chunk)
            about.sound.grow(news.chunk)
        except OSError as error:
            log.warning("%s can't grow: %s", path.name, error)
        self._changed(news.part.id)

    def _tell(self, news: Came) -> None:
        """Lines like those of a progress bar, now and then."""
        now = time.monotonic()
        every_s = max(LINE_S, len(news.progress) / LINES_PER_S)
        for id, progress in news.progress.items():
            about = self._logs.get(id)
            if about is None or now - about.told_s < every_s or about.progress == progress:
                continue
            about.told_s, about.progress = now, progress
            self._line(id, about, progress)

    def _line(self, id: str, about: _Log, progress: Progress) -> None:
        line = bar(progress, time.monotonic() - about.began_s)
        steps = (progress.step, progress.n_steps)
        self._surely(lambda: self._store.add_logs(id, line, steps, by=self._worker))
        self._changed(id)

    def _finish(self, news: Played) -> None:
        part = news.part
        job, about = self._jobs.get(part.id), self._logs.get(part.id)
        assert job is not None, part.id
        if about is None:  # it was cancelled before it began
            self._stop(Stopped(part))
            return
        data = news.audio.to_bytes()
        meant = Meant(
            owner=job.prediction.owner,
            name=f"output.{part.inputs.output_format}",
            purpose="output",
            prediction=part.id,
        )
        try:
            file = self._surely(lambda: self._files.save([data], meant, cap_bytes=MAX_BYTES))
            self._full_since_s = None
        except StorageFullError:
            self._fail(part.id, "The server's disk is full: the music can't be kept.")
            return
        if about.sound is not None:
            about.sound.close()
        self._line(part.id, about, Progress(part.n_steps, part.n_steps))
        metrics = {"audio_duration_s": round(news.audio.duration_s, 3)}
        succeed = partial(self._store.succeed, part.id, file.id, metrics, by=self._worker)
        if not self._surely(succeed):
            self._surely(lambda: self._files.delete(file.id, None))
        self.audio_s += news.audio.duration_s
        self._end(part.id)

    def _stop(self, news: Stopped) -> None:
        job = self._jobs.get(news.part.id)
        if job is not None and job.is_late:
            limit_s = self._config.prediction_timeout_s
            self._fail(news.part.id, f"It took longer than the {limit_s} s that are allowed.")
            return
        self._surely(lambda: self._store.canceled(news.part.id, by=self._worker))
        self._end(news.part.id)

    def _fail(self, id: str, reason: str) -> None:
        # `begin` sets when it started, without which clients take it for one that never ran.
        self._surely(lambda: self._store.begin(id, by=self._worker))
        self._surely(lambda: self._store.fail(id, reason, by=self._worker))
        self._end(id)

    def _fail_after(self, news: News) -> None:
        """A fault of ours ends the prediction that it concerns."""
        part: Part | None = getattr(news, "part", None)
        if part is not None:
            part.cancelled.set()
            self._fail(part.id, "Something went wrong inside the server; its log says what.")

    def _end(self, id: str) -> None:
        """Nothing more comes of it here."""
        about = self._logs.pop(id, None)
        if about is not None and about.sound is not None:
            about.sound.close()
        now = self._surely(lambda: self._store.prediction(id, None))
        if now is None or now.is_final:  # else it is another's, who goes on with its sound
            self._growing.remove(id)
        self._jobs.done(id)
        self._changed(id)

    def _surely(self, write: Callable[[], T]) -> T:
        """Write, again and again until the store lets us; _ClosedError when the worker ends."""
        while True:
            if self._is_closed:
                raise _ClosedError
            try:
                return write()
            except StoreError as error:
                log.warning("the store can't be written, trying again: %s", error)
            except StorageFullError:
                now = time.monotonic()
                self._full_since_s = self._full_since_s or now
                if now - self._full_since_s > FULL_PATIENCE_S:
                    raise
                log.warning("the disk is full, trying again")
            time.sleep(RETRY_S)


class _ClosedError(Exception):
    """The worker ends; what isn't written is another's."""


def bar(progress: Progress, elapsed_s: float) -> str:
    """A line as tqdm prints it, which clients look for in logs."""
    step, n_steps = progress.step, max(1, progress.n_steps)
    part = min(1.0, step / n_steps)
    eighths = int(part * BAR * 8)
    full, rest = divmod(eighths, 8)
    filled = ("█" * full + (" ▏▎▍▌▋▊▉"[rest] if full < BAR else "")).ljust(BAR)
    rate = step / elapsed_s if elapsed_s > 0 and step else 0.0
    left = _clock((n_steps - step) / rate) if rate else "?"
    speed = f"{rate:.2f}it/s" if rate else "?it/s"
    return (
        f"{int(part * 100):3d}%|{filled}| {step}/{n_steps} [{_clock(elapsed_s)}<{left}, {speed}]\n"
    )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"
