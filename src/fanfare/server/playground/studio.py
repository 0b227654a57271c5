"""Studio: looks at finished music and converts it, by short processes that do the heavy part."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from anyio import CapacityLimiter, to_thread

from fanfare.server.files import Files
from fanfare.server.problems import ProblemError
from fanfare.server.records import Prediction

log = logging.getLogger(__name__)

COMMAND = [sys.executable, "-m", "fanfare.audio.errands"]
AT_ONCE = 2
TIMEOUT_S = 120.0

T = TypeVar("T")


class Studio:
    """Runs errands (see `fanfare.audio.errands`), few at a time; keeps what analyses find."""

    def __init__(self, files: Files, command: list[str] | None = None) -> None:
        """`command` stands in for the one that does errands."""
        self._files = files
        self._command = command or COMMAND
        self._limiter: CapacityLimiter | None = None

    async def run(self, work: Callable[[], T]) -> T:
        """Something below, on a thread, once it is its turn."""
        if self._limiter is None:  # it belongs to the loop that serves
            self._limiter = CapacityLimiter(AT_ONCE)
        return await to_thread.run_sync(work, limiter=self._limiter)

    def analysis(self, prediction: Prediction) -> bytes:
        """What a finished prediction's music looks like, as JSON; blocking."""
        assert prediction.output_file is not None, prediction.id
        kept = self._files.derived(prediction.output_file)
        with suppress(FileNotFoundError):
            return kept.read_bytes()
        errand = {
            "task": "analyse",
            "file": str(self._files.path(prediction.output_file)),
            "melody": self._melody(prediction),
        }
        made = self._sent(errand)
        with suppress(OSError):  # a full disk costs the same work again, and nothing else
            _keep(made, kept)
        return made

    def converted(self, prediction: Prediction, file_format: str) -> Path:
        """A finished prediction's music in another format, as a file to remove after use."""
        assert prediction.output_file is not None, prediction.id
        path = self._files.temporary()
        source = str(self._files.path(prediction.output_file))
        errand = {"task": "convert", "file": source, "to": str(path), "format": file_format}
        try:
            self._sent(errand)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path

    def _melody(self, prediction: Prediction) -> dict[str, Any] | None:
        """The recording that a piece was to follow, if it lies here."""
        inputs = prediction.input
        given = inputs.get("input_audio")
        if not isinstance(given, str) or ":" in given or inputs.get("continuation"):
            return None
        if self._files.file_of(given) is None:
            return None
        end_s = inputs.get("continuation_end")
        return {
            "file": str(self._files.path(given)),
            "start_s": inputs.get("continuation_start") or 0,
            "end_s": None if end_s in (None, -1) else end_s,
        }

    def _sent(self, errand: Mapping[str, Any]) -> bytes:
        """The answer to an errand; ProblemError when there is none."""
        try:
            done = subprocess.run(
                self._command,
                input=json.dumps(errand).encode(),
                capture_output=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            log.error("to %s a file took longer than %.0f s", errand["task"], TIMEOUT_S)
            raise ProblemError(503, "This takes too long now. Try again later.") from None
        if done.returncode:
            said = (done.stdout + done.stderr).decode("utf-8", "replace")[-2000:]
            log.error("a file can't be dealt with (%s): %s", errand["task"], said)
            raise ProblemError(503, "The file can't be dealt with now; the server's log says why.")
        return done.stdout


def _keep(data: bytes, path: Path) -> None:
    path.parent.mkdir(exist_ok=True, mode=0o700)
    part = path.with_suffix(".part")
    part.write_bytes(data)
    os.replace(part, path)
