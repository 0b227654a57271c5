"""Tests that need a browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from chromium import chromium
from visit import LISTEN, Visit, served


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    """One server and one browser for all tests of a module."""
    folder = tmp_path_factory.mktemp("page")
    with chromium(folder) as browser, served(folder / "home") as url:
        browser.prepare(LISTEN)
        yield Visit(browser, url)


@pytest.fixture
def visit(place: Visit) -> Iterator[Visit]:
    """A fresh page; in the end, the console has said nothing that the test doesn't know of."""
    place.known.clear()
    place.browser.size(1440, 1000)
    place.browser.likes("light")
    place.open()
    place.browser.run("localStorage.clear()")
    place.browser.complaints()
    yield place
    lines = place.browser.complaints()
    assert [line for line in lines if not any(known in line for known in place.known)] == []
