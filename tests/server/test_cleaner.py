"""The cleaner."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from fanfare.server import cleaner
from fanfare.server.cleaner import Cleaner
from fanfare.server.files import Files, Meant
from fanfare.server.records import StoreError
from stores import Clocks, asked, opened


def test_what_is_over_goes_from_the_store_and_the_disk(tmp_path: Path) -> None:
    clocks = Clocks()
    with opened(tmp_path, clocks) as store:
        files = Files(tmp_path, store)
        file = files.save([b"x"], Meant("me", ttl_s=60), cap_bytes=9)
        kept = files.save([b"x"], Meant("me"), cap_bytes=9)
        clocks.pass_(61)
        Cleaner(store, files, None).expire()
        assert not files.path(file.id).exists()
        assert files.path(kept.id).exists()


def test_it_goes_on_whatever_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleaner, "DEADLINES_EVERY_S", 0.01)
    with opened(tmp_path) as store:
        files = Files(tmp_path, store)
        id = store.create_prediction(asked(cancel_after_s=0.2)).id
        real, n_calls, changed = store.cancel_overdue, 0, list[str]()

        def sometimes() -> list[str]:
            nonlocal n_calls
            n_calls += 1
            if n_calls % 2:
                raise StoreError("locked")
            return real()

        monkeypatch.setattr(store, "cancel_overdue", sometimes)

        async def run() -> None:
            with anyio.move_on_after(10) as scope:
                await Cleaner(
                    store, files, None, lambda id: (changed.append(id), scope.cancel())[0]
                ).run()

        anyio.run(run)
        assert changed == [id]
        found = store.prediction(id, None)
        assert found is not None
        assert found.status == "canceled"
