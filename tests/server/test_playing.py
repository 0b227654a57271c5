"""Several models, one after the other and at once, within a budget of memory."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import fanfare
from fanfare.errors import CheckpointError
from fanfare.inputs import Inputs
from fanfare.model import Model
from fanfare.server import playing
from fanfare.server.playing import Began, Heard, Part, Played, Players, Refused, Stopped
from fanfare.session import Ready, Session


def part(id: str, weights: str = "a", **fields: Any) -> Part:
    inputs = Inputs.parse({"prompt": "epic", "duration": 1, "seed": 1, **fields})
    return Part(id, weights, inputs)


class Shelf:
    """Models by name, loaded anew each time, and what became of them."""

    def __init__(self, folder: Path, engine: str = "torch") -> None:
        self.folder, self.engine = folder, engine
        self.names: list[str] = []
        self.models: list[weakref.ref[Model]] = []
        self.may_load = threading.Event()
        self.may_load.set()

    def __call__(self, name: str) -> Model:
        assert self.may_load.wait(30)
        if name == "broken":
            raise CheckpointError("/a/secret/place: damaged")
        self.names.append(name)
        model = fanfare.load(self.folder, device="cpu", engine=self.engine)
        self.models.append(weakref.ref(model))
        return model

    @property
    def n_alive(self) -> int:
        gc.collect()
        return sum(model() is not None for model in self.models)


@pytest.fixture
def shelf(text_folder: Path) -> Shelf:
    return Shelf(text_folder)


def players(shelf: Shelf, **options: Any) -> Players:
    return Players(shelf, **options)


def play(players: Players, n_ends: int) -> list[Any]:
    """All events until so many parts have ended."""
    events: list[Any] = []
    ends = 0
    while ends < n_ends:
        for event in players.tick():
            events.append(event)
            ends += isinstance(event, Played | Stopped | Refused)
        if not players.is_busy:
            time.sleep(0.005)  # the loader's turn
    return events


def ended(events: list[Any], kind: type) -> list[str]:
    return [event.part.id for event in events if isinstance(event, kind)]


def test_parts_of_two_models_play_at_once(shelf: Shelf) -> None:
    band = players(shelf)
    parts = [part("1"), part("2", "b", seed=2), part("3", seed=3, duration=2)]
    for one in parts:
        band.submit(one)
    events = play(band, 3)
    assert sorted(shelf.names) == ["a", "b"]
    assert sorted(ended(events, Played)) == ["1", "2", "3"]
    for event in events:
        if isinstance(event, Played):
            alone = fanfare.load(shelf.folder, device="cpu", engine="torch")
            assert (event.audio.codes == alone.generate(event.part.inputs).codes).all()
    assert not band.is_busy
    assert band.n_parts == 0
    band.close()
    assert shelf.n_alive == 0


def test_a_recording_is_looked_at_while_others_play(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tone = 0.1 * np.sin(np.arange(32000) / 20)
    soundfile.write(tmp_path / "tone.wav", tone.astype(np.float32), 32000)
    has_looked, look = threading.Event(), playing._ready

    def slowly(session: Session, one: Part) -> Ready:
        if one.inputs.input_audio is not None:
            assert has_looked.wait(30)
        return look(session, one)

    monkeypatch.setattr(playing, "_ready", slowly)
    band = players(shelf, max_pieces=2)
    on = {"input_audio": str(tmp_path / "tone.wav"), "continuation": True}
    parts = [part("long", **on), part("1"), part("2", seed=2), part("gone", **on)]
    for one in parts:
        band.submit(one)
    events = play(band, 2)
    assert ended(events, Began) == ended(events, Played) == ["1", "2"], "one seat is kept"
    assert band.n_playing == 0
    assert band.n_parts == 2
    parts[3].cancelled.set()
    has_looked.set()
    events = play(band, 2)
    assert ended(events, Played) == ["long"]
    assert ended(events, Stopped) == ["gone"]
    audio = next(event.audio for event in events if isinstance(event, Played))
    alone = fanfare.load(shelf.folder, device="cpu", engine="torch").generate(parts[0].inputs)
    assert (audio.codes == alone.codes).all()
    band.close()


def test_no_more_than_there_are_seats(shelf: Shelf) -> None:
    band = players(shelf, max_pieces=2)
    for i in range(5):
        band.submit(part(str(i), seed=i))
    most = 0
    events: list[Any] = []
    while len(ended(events, Played)) < 5:
        events += band.tick()
        most = max(most, band.n_playing)
    assert most == 2
    assert ended(events, Began) == list("01234")
    assert band.n_rows > band.n_steps > 0
    band.close()


def test_the_idle_make_room_and_their_memory_comes_back(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(playing, "size_on_disk", lambda name: 40)
    grown = iter(range(0, 10_000, 40))
    monkeypatch.setattr(playing, "memory_in_use", lambda: next(grown))
    band = players(shelf, budget_bytes=100)
    for name in ["a", "b", "a", "c"]:
        band.submit(part(name, name))
        play(band, 1)
    assert shelf.names == ["a", "b", "c"]
    assert set(band.loaded) == {"a", "c"}  # b was idle longest
    assert shelf.n_alive == 2
    band.submit(part("again", "b"))
    play(band, 1)
    assert set(band.loaded) == {"c", "b"}
    band.close()


def test_a_busy_model_is_waited_for(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playing, "size_on_disk", lambda name: 80)
    grown = iter(range(0, 10_000, 80))
    monkeypatch.setattr(playing, "memory_in_use", lambda: next(grown))
    now = [0.0]
    band = players(shelf, budget_bytes=100, max_pieces=1, clock=lambda: now[0])
    held = part("held", "b")
    held.came_s = 0.0
    band.submit(part("first", "a", duration=2))
    band.submit(held)
    for i in range(3):
        band.submit(part(f"more-{i}", "a"))
    events = play(band, 1)
    assert ended(events, Played) == ["first"]
    now[0] = playing.PATIENCE_S + 1  # b has waited long enough: nobody passes it any more
    events = play(band, 4)
    assert ended(events, Began)[0] in {"held", "more-0"}
    assert ended(events, Began).index("held") <= 1
    assert len(ended(events, Played)) == 4
    band.close()


def test_a_model_that_cannot_be_loaded_fails_its_own(shelf: Shelf) -> None:
    band = players(shelf)
    band.submit(part("bad", "broken"))
    band.submit(part("good", "a"))
    events = play(band, 2)
    assert ended(events, Played) == ["good"]
    (refused,) = (event for event in events if isinstance(event, Refused))
    assert refused.part.id == "bad"
    assert "secret" not in refused.reason
    band.close()


def test_a_part_that_asks_in_vain_fails_alone(shelf: Shelf) -> None:
    band = players(shelf)
    band.submit(part("bad", multi_band_diffusion=True))
    band.submit(part("good"))
    events = play(band, 2)
    assert ended(events, Played) == ["good"]
    (refused,) = (event for event in events if isinstance(event, Refused))
    assert refused.reason.startswith("multi_band_diffusion: ")
    band.close()


def test_cancelled_before_and_while_it_is_played(shelf: Shelf) -> None:
    band = players(shelf, max_pieces=1)
    parts = [part("0", duration=3), part("1")]
    for one in parts:
        band.submit(one)
    while not band.n_playing:
        band.tick()
    for one in parts:
        one.cancelled.set()
    events = play(band, 2)
    assert sorted(ended(events, Stopped)) == ["0", "1"]
    band.close()


def test_others_play_on_while_a_model_is_loaded(shelf: Shelf) -> None:
    band = players(shelf)
    band.submit(part("a", "a"))
    play(band, 1)
    shelf.may_load.clear()
    band.submit(part("b", "b"))
    band.submit(part("a2", "a"))
    assert ended(play(band, 1), Played) == ["a2"]
    assert band.is_loading
    shelf.may_load.set()
    assert ended(play(band, 1), Played) == ["b"]
    band.close()


def test_reloading_ends_nothing(shelf: Shelf) -> None:
    band = players(shelf)
    band.submit(part("old", duration=2))
    while not band.n_playing:
        band.tick()
    band.reload()
    band.submit(part("new"))
    assert sorted(ended(play(band, 2), Played)) == ["new", "old"]
    assert shelf.names == ["a", "a"]
    band.tick()
    assert shelf.n_alive == 1
    band.close()


def test_who_is_listened_to_is_heard(shelf: Shelf) -> None:
    band = players(shelf)
    heard, unheard = part("heard", duration=2), part("unheard", duration=2)
    heard.listened.set()
    band.submit(heard)
    band.submit(unheard)
    events = play(band, 2)
    assert set(ended(events, Heard)) == {"heard"}
    assert len(ended(events, Heard)) > 2
    band.close()


def test_loading_and_unloading_leaves_no_memory_behind(text_folder: Path) -> None:
    from fanfare.server.memory import give_back, resident_bytes

    shelf = Shelf(text_folder, engine="onnxruntime")
    band = players(shelf, budget_bytes=1)
    seen = []
    for i in range(8):
        band.submit(part(str(i), f"model-{i}"))
        play(band, 1)
        give_back()
        seen.append(resident_bytes())
        assert len(band.loaded) <= 1
    assert shelf.n_alive <= 1
    assert seen[-1] - seen[3] < 8e6
    band.close()


def states(made: Players) -> dict[str, str]:
    return {name: place.state for name, place in made.places().items()}


def settle(made: Players) -> None:
    """Go on until everything is loaded that is to be."""
    while "loading" in states(made).values():
        made.tick()
        time.sleep(0.005)  # the loader's turn


def test_models_are_loaded_and_let_go_when_they_are_told(shelf: Shelf) -> None:
    made = players(shelf)
    made.preload("a")
    made.preload("b")
    assert states(made) == {"a": "loading", "b": "loading"}
    settle(made)
    place = made.places()["a"]
    assert (place.state, place.engine, place.n_playing) == ("loaded", "torch float32", 0)
    made.submit(part("one"))
    while not made.n_playing:
        made.tick()
        time.sleep(0.005)
    assert made.places()["a"].n_playing == 1
    made.unload("a")
    assert states(made) == {"b": "loaded"}
    assert ended(play(made, 1), Played) == ["one"]  # what has begun ends as it began
    made.tick()
    assert shelf.n_alive == 1
    made.submit(part("two"))  # and who asks for it loads it again
    assert ended(play(made, 1), Played) == ["two"]
    assert shelf.names == ["a", "b", "a"]
    made.close()


def test_a_model_that_can_t_be_loaded_says_so_until_it_is_tried_again(shelf: Shelf) -> None:
    made = players(shelf)
    made.preload("broken")
    settle(made)
    place = made.places()["broken"]
    assert place.state == "failed"
    assert place.error is not None
    assert "secret" not in place.error
    made.preload("broken")
    assert states(made) == {"broken": "loading"}
    settle(made)
    made.unload("broken")
    assert states(made) == {}
    made.close()


def test_a_model_waits_for_room(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playing, "size_on_disk", lambda name: 60)
    monkeypatch.setattr(playing, "memory_in_use", iter(range(0, 10_000, 60)).__next__)
    made = players(shelf, budget_bytes=100)
    made.submit(part("one"))
    while not made.n_playing:
        made.tick()
        time.sleep(0.005)
    made.preload("b")
    made.tick()
    assert states(made) == {"a": "loaded", "b": "loading"}
    assert shelf.names == ["a"]
    play(made, 1)
    settle(made)
    assert states(made) == {"b": "loaded"}
    made.close()
