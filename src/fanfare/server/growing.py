"""Music that grows: a file that whoever listens follows while the worker still writes it.

    files/streams/{id}.wav or .mp3   the sound so far: mp3 where the prediction asks for that
    files/streams/{id}.wanted        somebody listens, or did: only then is the sound made early

It only ever grows: a worker that takes over makes the same music, and goes on where the file ends.
When the prediction is over it goes; who has it open hears the rest.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from fanfare.server.ids import is_id

WANTED = ".wanted"


class Growing:
    """The folder of growing files; made when it is first needed."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "files" / "streams"

    def path(self, prediction_id: str, output_format: str) -> Path:
        """Where a prediction's sound grows, once a part of it is made: a .wav or .mp3."""
        assert is_id(prediction_id), prediction_id
        # Nobody plays a flac or an ogg without its end as surely as these.
        kind = "mp3" if output_format == "mp3" else "wav"
        return self.folder / f"{prediction_id}.{kind}"

    def want(self, prediction_id: str) -> None:
        """Say that somebody listens: the sound grows from the next chunk on, from its beginning.

        To be said before the prediction is over, again and again does no harm.
        """
        assert is_id(prediction_id), prediction_id
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"{prediction_id}{WANTED}").touch()

    def wanted(self) -> set[str]:
        """All predictions that somebody listens to."""
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return set()
        return {name.removesuffix(WANTED) for name in names if name.endswith(WANTED)}

    def all(self) -> set[str]:
        """All predictions of which anything lies here."""
        try:
            names = os.listdir(self.folder)
        except FileNotFoundError:
            return set()
        return {name.partition(".")[0] for name in names}

    def remove(self, prediction_id: str) -> None:
        """Its prediction is over."""
        for suffix in (".wav", ".mp3", WANTED):
            with suppress(FileNotFoundError):
                (self.folder / f"{prediction_id}{suffix}").unlink()
