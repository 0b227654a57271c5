"""Stream: a piece that is heard while it is being made."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from fanfare.chunks import Chunk
from fanfare.piece import Audio
from fanfare.predict import Event, Finished, Progress, Started


class Stream(Iterator[Chunk]):
    """An iterator of the chunks of one piece, in order and without gaps.

    Chunks are levelled as the piece goes, since how loud it will be is not known before its end
    (`audio.levelling` says how); the finished piece is levelled as a whole, as `generate` does, and
    so differs from them in level. With `normalization_strategy` "clip" both are alike but for
    rounding.

    Attributes:
        seed: that is used.
        notices: what is done otherwise than might be expected.
        progress: how far generation is; None before its first step.
        finished: the piece as `generate` gives it, once the last chunk is taken and the iterator
            has ended; None until then.
    """

    def __init__(self, events: Generator[Event, None, None]) -> None:
        """`events` of one request, with chunks. InputError if it can't be served."""
        started = next(events)
        assert isinstance(started, Started), started
        self._events = events
        (self.seed,) = started.seeds
        self.notices = started.notices
        self.progress: Progress | None = None
        self.finished: Audio | None = None

    def __next__(self) -> Chunk:
        for event in self._events:
            if isinstance(event, Chunk):
                return event
            if isinstance(event, Progress):
                self.progress = event
            elif isinstance(event, Finished):
                self.finished = event.audio
        raise StopIteration

    def close(self) -> None:
        """Stop generating. Leaving a `with` block or forgetting the stream does the same."""
        self._events.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
