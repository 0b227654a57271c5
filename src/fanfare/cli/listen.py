"""Listening to a piece while it is made: through a player, or whoever reads standard output."""

from __future__ import annotations

import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fanfare.errors import InputError, OutputError

if TYPE_CHECKING:
    from fanfare.audio.io import Samples


@dataclass(frozen=True)
class Player:
    """A program that plays WAV from its standard input, or, if `takes_files`, from a file only."""

    name: str
    arguments: tuple[str, ...]
    takes_files: bool = False


PLAYERS = (
    Player("ffplay", ("-nodisp", "-autoexit", "-loglevel", "error", "-i", "pipe:0")),
    Player("paplay", ("--client-name=fanfare",)),
    Player("aplay", ("-q", "-")),
    Player("afplay", (), takes_files=True),
)


class _Sink(Protocol):
    def write(self, data: bytes, /) -> int | None: ...


class Listener:
    """Takes sound in and writes it as WAV from a thread of its own.

    A pipe takes a second or so and then waits for the player: generation doesn't wait with it. When
    nobody reads any more, what comes is dropped quietly.
    """

    def __init__(self, file: _Sink) -> None:
        """Write to `file`, best one without a buffer: who is interrupted must not hold its lock."""
        self._file = file
        self._waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._has_header = False
        self._gone = threading.Event()
        # A daemon: whoever interrupts the command doesn't want to wait for the music.
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    @property
    def is_gone(self) -> bool:
        """Whether nobody reads any more."""
        return self._gone.is_set()

    def hear(self, samples: Samples, sample_rate_hz: int) -> None:
        """Take in the next samples [C, N]."""
        from fanfare.audio.wav import stream_bytes, stream_header

        if not self._has_header:
            self._waiting.put(stream_header(samples.shape[0], sample_rate_hz))
            self._has_header = True
        self._waiting.put(stream_bytes(samples))

    def finish(self) -> None:
        """Wait until all is written."""
        self._waiting.put(None)
        self._thread.join()

    def _write(self) -> None:
        while (data := self._waiting.get()) is not None:
            if self.is_gone:
                continue
            try:
                while data:
                    data = data[self._file.write(data) or 0 :]
            except OSError:  # a broken pipe, mostly
                self._gone.set()


def check_listening(
    *, play: bool, to_stdout: bool, as_json: bool, count: int, file_format: str | None
) -> None:
    """Refuse, before any work is done, what can't be listened to.

    `file_format` is the one that was asked for without naming a file.
    """
    if not (play or to_stdout):
        return
    name = "play" if play else "stdout"
    if play and to_stdout:
        raise InputError("play", True, "plays by itself: leave --stdout out")
    if count > 1:
        raise InputError("count", count, f"must be 1 with --{name}")
    if to_stdout and as_json:
        raise InputError("json", True, "would write between the samples: leave --stdout out")
    if to_stdout and file_format not in (None, "wav"):
        hint = "standard output gets WAV: name a file with -o to have both"
        raise InputError("output_format", file_format, hint)
    if to_stdout and sys.stdout.isatty():
        hint = "is a terminal: pipe it on, as in fanfare generate … --stdout | ffplay -"
        raise InputError("stdout", "terminal", hint)
    if play:
        find_player()


def find_player() -> tuple[Player, str]:
    """The first player that is installed, and its path; InputError if there is none."""
    for player in PLAYERS:
        path = shutil.which(player.name)
        if path is not None:
            return player, path
    names = ", ".join(player.name for player in PLAYERS)
    raise InputError("play", True, f"needs one of {names}: install FFmpeg, or play the file")


@contextmanager
def stdout_listens() -> Iterator[Listener]:
    """Whoever reads standard output."""
    sys.stdout.flush()
    listener = Listener(getattr(sys.stdout.buffer, "raw", sys.stdout.buffer))
    yield listener
    listener.finish()


@contextmanager
def player_listens() -> Iterator[Listener]:
    """A player; leaving waits until it has played all. OutputError if it can't play."""
    player, path = find_player()
    if player.takes_files:
        yield from _plays_afterwards(player, path)
        return
    process = subprocess.Popen([path, *player.arguments], stdin=subprocess.PIPE, bufsize=0)
    assert process.stdin is not None
    try:
        listener = Listener(process.stdin)
        yield listener
        listener.finish()
        with suppress(OSError):  # it has gone
            process.stdin.close()
        _check(player, process.wait())
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()


def _plays_afterwards(player: Player, path: str) -> Iterator[Listener]:
    """For a player that can't read while the piece is made."""
    with tempfile.TemporaryDirectory(prefix="fanfare-") as folder:
        file = Path(folder) / "piece.wav"
        with file.open("wb") as opened:
            listener = Listener(opened)
            yield listener
            listener.finish()
        _check(player, subprocess.call([path, *player.arguments, str(file)]))


def _check(player: Player, code: int) -> None:
    if code > 0:  # below zero: somebody ended it on purpose
        raise OutputError(f"{player.name} couldn't play the piece (exit code {code})")
