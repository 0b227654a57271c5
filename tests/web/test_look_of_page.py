"""What the page looks like to all sorts of people: dark, narrow, read aloud; markup stays text."""

from __future__ import annotations

from pathlib import Path

import pytest
from visit import DONE, Visit

pytestmark = pytest.mark.web

TABS = ("playground", "api", "schema", "models", "status")
AXE = Path(__file__).parent / "vendor/axe/axe.min.js"
LOOK = """
const { violations, passes } = await axe.run(document, {resultTypes: ["violations"]});
if (passes.length < 10) return [`only ${passes.length} rules were looked at`];
return violations.filter(({impact}) => impact === "serious" || impact === "critical")
  .map(({id, nodes}) => `${id}: ${nodes.map(({html}) => html).join(" | ")}`);
"""
PROMPT = 'Brass <img src=x onerror=window.hit=1><script>window.hit=1</script> & "taiko"'
NO_HARM = "return (window.hit ?? null) === null && !document.querySelector('img[src=x]')"
GROUNDS = {"dark": "rgb(18, 16, 14)", "light": "rgb(247, 245, 241)"}
GROUND = "return getComputedStyle(document.body).backgroundColor"
PHONE = 360


@pytest.fixture(scope="module", autouse=True)
def piece_id(place: Visit) -> str:
    """A finished piece whose prompt is markup."""
    place.open()
    place.make(PROMPT, 2)
    return str(place.finish()["id"])


def show(visit: Visit, tab: str) -> None:
    visit.browser.run("location.hash = arguments[0]", tab)
    visit.browser.one(f"#tab-{tab}")
    if tab != "playground":
        visit.browser.one(f"#tab-{tab} h1, #tab-{tab} h2")


def test_markup_is_shown_as_text(visit: Visit, piece_id: str) -> None:
    browser = visit.browser
    visit.open(f"/p/{piece_id}")
    browser.hear(DONE, "the piece is shown")
    assert browser.one(".piece-title").text == PROMPT
    assert browser.one(".entry-prompt").text == PROMPT
    visit.write("prompt", PROMPT)
    show(visit, "api")
    assert "onerror" in browser.one("#tab-api").text
    assert browser.run(NO_HARM)
    visit.open(visit.newest["share_url"])
    browser.hear(DONE, "the shared piece is shown")
    assert browser.one(".piece-title").text == PROMPT
    assert browser.run(NO_HARM)


def test_dark_follows_the_system_until_one_chooses(visit: Visit) -> None:
    browser = visit.browser
    for scheme, ground in GROUNDS.items():
        browser.likes(scheme)
        browser.until(lambda ground=ground: browser.run(GROUND) == ground, f"the page is {scheme}")
    browser.one("#theme").click()
    browser.until(lambda: browser.run(GROUND) == GROUNDS["dark"], "the page is dark by choice")
    visit.open()
    assert browser.run(GROUND) == GROUNDS["dark"]


@pytest.mark.parametrize("tab", TABS)
def test_nothing_is_wider_than_a_phone(visit: Visit, piece_id: str, tab: str) -> None:
    browser = visit.browser
    browser.size(PHONE, 740, is_phone=True)
    visit.open(f"/p/{piece_id}")
    browser.hear(DONE, "the piece is shown")
    show(visit, tab)
    assert browser.run("return document.documentElement.scrollWidth") <= PHONE


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(visit: Visit, piece_id: str, scheme: str) -> None:
    browser = visit.browser
    # The page's policy keeps axe itself from writing styles of its own.
    visit.known += ["status of 422", "inline style"]
    browser.likes(scheme)
    visit.open(f"/p/{piece_id}")
    browser.hear(DONE, "the piece is shown")
    browser.run(AXE.read_text(encoding="utf-8"))
    for tab in TABS:
        show(visit, tab)
        assert browser.run_async(LOOK) == [], tab
    show(visit, "playground")
    browser.run("document.querySelector('details.more').open = true")
    visit.make("Too long", 100000)
    browser.one("[data-field=duration] .field-error")
    assert browser.run_async(LOOK) == [], "with an error"
    browser.size(PHONE, 740, is_phone=True)
    assert browser.run_async(LOOK) == [], "on a phone"
