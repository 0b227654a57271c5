"""Predictions as their owners look back on them: searched, starred, deleted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, delete, or_, select
from sqlalchemy.dialects.sqlite import insert

from fanfare.server.database import Database
from fanfare.server.pages import page
from fanfare.server.records import WAITING, Page, Prediction
from fanfare.server.tables import deliveries, files, is_starred, prediction_of, predictions, stars

MAX_WORDS = 16
"""Of a search; more of them only make it slower."""


@dataclass(frozen=True)
class Standing:
    """What is known of a prediction beside itself.

    Attributes:
        is_starred: its owner has marked it.
        position: how many wait before it; None = it doesn't wait.
    """

    is_starred: bool
    position: int | None


class HistoryRows(Database):
    """The part of the store that the page's history uses."""

    def history(
        self,
        owner: str,
        *,
        query: str = "",
        starred: bool | None = None,
        before: str | None = None,
        limit: int = 30,
    ) -> Page[Prediction]:
        """An owner's predictions whose prompts hold every word of the query, newest first.

        InputError when `before` isn't one of them.
        """
        wanted: list[ColumnElement[bool]] = [predictions.c.owner == owner]
        wanted += [_holds(word) for word in query.split()[:MAX_WORDS]]
        if starred is not None:
            wanted.append(is_starred() if starred else ~is_starred())
        with self.reading() as connection:
            return page(connection, predictions, wanted, before, None, limit, prediction_of)

    def standings(self, ids: Sequence[str]) -> dict[str, Standing]:
        """How each of these stands."""
        with self.reading() as connection:
            marked = select(stars.c.prediction).where(stars.c.prediction.in_(ids))
            starred = set(connection.execute(marked).scalars())
            waits = predictions.c.status == WAITING
            asked = select(predictions.c.id).where(waits, predictions.c.id.in_(ids)).limit(1)
            places: dict[str, int] = {}
            if connection.execute(asked).first() is not None:
                queue = select(predictions.c.id).where(waits).order_by(predictions.c.seq)
                places = {id: at for at, id in enumerate(connection.execute(queue).scalars())}
        return {id: Standing(id in starred, places.get(id)) for id in ids}

    def lately(self, n: int = 20) -> float | None:
        """Seconds of music per second of work, over the last `n` pieces of whomever's.

        None when there are none whose worker said how long they are.
        """
        made = select(predictions.c.metrics).where(predictions.c.status == "succeeded")
        with self.reading() as connection:
            found = connection.execute(made.order_by(predictions.c.seq.desc()).limit(n)).scalars()
            both = [(m.get("audio_duration_s", 0), m.get("predict_time", 0)) for m in found]
        known = [(music_s, work_s) for music_s, work_s in both if music_s and work_s]
        work_s = sum(work_s for _, work_s in known)
        return sum(music_s for music_s, _ in known) / work_s if known else None

    def star(self, id: str, owner: str, *, is_starred: bool) -> bool:
        """Mark a prediction, or take its mark away; False when that owner has none of that id."""
        with self.writing() as connection:
            if connection.execute(_mine(id, owner)).first() is None:
                return False
            if is_starred:
                mark = insert(stars).values(prediction=id).on_conflict_do_nothing()
                connection.execute(mark)
            else:
                connection.execute(delete(stars).where(stars.c.prediction == id))
            return True

    def delete_prediction(self, id: str, owner: str) -> list[str] | None:
        """Forget a prediction, its webhooks and its output; the ids of the files that are to go.

        None when that owner has none of that id. Who plays it learns so by `cancel_requested`.
        """
        with self.writing() as connection:
            if connection.execute(_mine(id, owner)).first() is None:
                return None
            connection.execute(delete(stars).where(stars.c.prediction == id))
            connection.execute(delete(deliveries).where(deliveries.c.prediction == id))
            connection.execute(delete(predictions).where(predictions.c.id == id))
            outputs = delete(files).where(files.c.prediction == id).returning(files.c.id)
            return list(connection.execute(outputs).scalars())


def _holds(word: str) -> ColumnElement[bool]:
    """Whether a prompt holds a word, in any case."""
    prompt = predictions.c.input["prompt"].as_string()
    # SQLite knows the cases of ASCII alone.
    cases = {word} if word.isascii() else {word, word.lower(), word.upper()}
    return or_(*(prompt.icontains(one, autoescape=True) for one in sorted(cases)))


def _mine(id: str, owner: str) -> Select[tuple[int]]:
    return select(predictions.c.seq).where(predictions.c.id == id, predictions.c.owner == owner)
