"""Requests that come and go get what they would get alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from fanfare import predict as predict_module
from fanfare.chunks import Chunk
from fanfare.errors import InputError
from fanfare.inputs import Inputs
from fanfare.model import Model
from fanfare.predict import Finished
from fanfare.session import Canceled, Failed, Session


def inputs(**fields: Any) -> Inputs:
    return Inputs.parse({"prompt": "epic brass", "duration": 1, **fields})


@pytest.fixture
def session(text_model: Model) -> Iterator[Session]:
    session = text_model.session(max_pieces=2)
    yield session
    session.close()


def played(session: Session) -> list[Any]:
    events = []
    while session.is_busy:
        events += session.tick()
    return events


def test_latecomers_get_what_they_would_get_alone(text_model: Model, session: Session) -> None:
    requests = [
        inputs(seed=1, duration=2),
        inputs(seed=2, prompt="calm piano", classifier_free_guidance=1),
        inputs(seed=3, top_k=5, temperature=0.7),
        inputs(seed=4, duration=3, output_format="mp3"),
    ]
    events, tickets = [], []
    for request in requests:
        tickets.append(session.submit(request))
        for _ in range(7):
            events += session.tick()
    assert session.n_playing == 2
    events += played(session)
    made = {event.index: event.audio for event in events}
    assert [ticket.seed for ticket in tickets] == [1, 2, 3, 4]
    for ticket, request in zip(tickets, requests, strict=True):
        alone = text_model.generate(request)
        assert (made[ticket.index].codes == alone.codes).all()
        np.testing.assert_array_equal(made[ticket.index].samples, alone.samples)
    assert not session.is_busy
    assert session.n_playing == 0


def test_chunks_are_the_piece(text_model: Model, session: Session) -> None:
    session.submit(inputs(seed=9, duration=2))
    heard = session.submit(inputs(seed=5, normalization_strategy="clip"), chunk_s=0.2)
    events = played(session)
    chunks = [event for event in events if isinstance(event, Chunk)]
    assert {chunk.index for chunk in chunks} == {heard.index}
    assert len(chunks) > 2
    (piece,) = (e.audio for e in events if isinstance(e, Finished) and e.index == heard.index)
    joined = np.concatenate([chunk.samples for chunk in chunks], axis=1)
    np.testing.assert_allclose(joined, piece.samples, atol=1e-4)


def test_chunks_for_who_begins_to_listen_late(text_model: Model, session: Session) -> None:
    flags = [threading.Event() for _ in range(2)]
    request = inputs(seed=5, duration=2, normalization_strategy="clip")
    tickets = [session.submit(request, chunk_s=0.2, listened=flag) for flag in flags]
    for _ in range(60):
        assert session.tick() == []
    flags[0].set()
    events = played(session)
    chunks = [event for event in events if isinstance(event, Chunk)]
    assert {chunk.index for chunk in chunks} == {tickets[0].index}
    assert chunks[0].start_s == 0
    joined = np.concatenate([chunk.samples for chunk in chunks], axis=1)
    alone = text_model.generate(request)
    np.testing.assert_allclose(joined, alone.samples, atol=1e-4)
    assert [e.index for e in events if isinstance(e, Finished)] == [0, 1]


def test_progress_is_told_of_everyone(session: Session) -> None:
    first, second, third = (session.submit(inputs(seed=i)) for i in range(3))
    for _ in range(10):
        session.tick()
    assert session.progress(first.index).step == session.progress(second.index).step == 10
    assert session.progress(third.index).step == 0
    assert session.progress(first.index).n_steps > 10
    assert session.n_steps == 10


def test_cancelled_while_waiting_playing_and_diffusing(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = [threading.Event() for _ in range(3)]
    tickets = [session.submit(inputs(seed=i), cancelled=flag) for i, flag in enumerate(flags)]
    session.tick()
    flags[0].set()
    flags[2].set()
    events = session.tick()
    assert [type(event) for event in events] == [Canceled, Canceled]
    assert {event.index for event in events} == {tickets[0].index, tickets[2].index}
    monkeypatch.setattr("fanfare.session.finishing", lambda *_: iter([None, None]))
    events = played(session)
    assert events == [Canceled(tickets[1].index)]


def test_a_fault_ends_one_piece_alone(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = session.submit(inputs(seed=1)), session.submit(inputs(seed=2, duration=2))
    normalize = predict_module.normalize
    calls = []

    def fails_once(*args: Any) -> Any:
        calls.append(args)
        if len(calls) == 1:
            raise ValueError("broken")
        return normalize(*args)

    monkeypatch.setattr(predict_module, "normalize", fails_once)
    failed, finished = played(session)
    assert isinstance(failed, Failed)
    assert (failed.index, str(failed.error)) == (bad.index, "broken")
    assert isinstance(finished, Finished)
    assert finished.index == good.index


def test_what_cannot_be_done_is_refused_at_the_door(session: Session) -> None:
    with pytest.raises(InputError, match="multi_band_diffusion"):
        session.submit(inputs(multi_band_diffusion=True))
    assert not session.is_busy
