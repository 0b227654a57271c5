"""The history on the page: kept by the server over its restarts."""

from __future__ import annotations

from pathlib import Path

import pytest
from chromium import chromium
from visit import DONE, LISTEN, Visit, served

pytestmark = pytest.mark.web

NAMES = "return [...document.querySelectorAll('.entry-prompt')].map((e) => e.textContent)"


def test_history_outlives_the_server(tmp_path: Path) -> None:
    with chromium(tmp_path) as browser:
        browser.prepare(LISTEN)
        with served(tmp_path / "home") as url:
            visit = Visit(browser, url)
            visit.open()
            for prompt in ("Calm piano", "Loud drums"):
                visit.make(prompt, 2)
                browser.until(lambda p=prompt: visit.newest["input"]["prompt"] == p, prompt)
                made = visit.finish()
            browser.one(f"[data-id='{made['id']}'] [data-act=star]").click()
            browser.until(lambda: visit.newest["starred"], "the star is kept")
            browser.complaints()
        with served(tmp_path / "home") as url:
            visit = Visit(browser, url)
            visit.open()
            assert browser.run(NAMES) == ["Loud drums", "Calm piano"]
            star = browser.one(f"[data-id='{made['id']}'] [data-act=star]")
            assert star.attribute("aria-pressed") == "true"
            # It is played from the history, to its sound.
            browser.one(f"[data-id='{made['id']}'] [data-act=play]").click()
            browser.hear(DONE, "the piece is shown again")
            browser.hear("return document.querySelector('.piece.playing') !== null", "it plays")
            # Found by its words, and deleted.
            browser.one("input[type=search]").type("calm")
            browser.until(lambda: browser.run(NAMES) == ["Calm piano"], "the search finds one")
            browser.one(".entry [data-act=delete]").click()
            browser.until(lambda: browser.run(NAMES) == [], "it is deleted")
            assert [one["id"] for one in visit.get("/v1/history")["results"]] == [made["id"]]
