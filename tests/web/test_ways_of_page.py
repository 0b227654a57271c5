"""Other ways on the page: keys, dropped files, URLs, two pieces compared, models, tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
from visit import DONE, READY, Visit, served

pytestmark = pytest.mark.web

# A second of a tone as a wav file, dropped where recordings go.
DROP = """
const rate = 8000, bytes = new DataView(new ArrayBuffer(44 + 2 * rate));
const text = (at, word) => [...word].forEach((c, i) => bytes.setUint8(at + i, c.charCodeAt(0)));
text(0, "RIFF"); bytes.setUint32(4, 36 + 2 * rate, true); text(8, "WAVEfmt ");
bytes.setUint32(16, 16, true); bytes.setUint16(20, 1, true); bytes.setUint16(22, 1, true);
bytes.setUint32(24, rate, true); bytes.setUint32(28, 2 * rate, true);
bytes.setUint16(32, 2, true); bytes.setUint16(34, 16, true);
text(36, "data"); bytes.setUint32(40, 2 * rate, true);
for (let i = 0; i < rate; i++) bytes.setInt16(44 + 2 * i, 9000 * Math.sin(0.3 * i), true);
const dataTransfer = new DataTransfer();
dataTransfer.items.add(new File([bytes.buffer], "dropped.wav", {type: "audio/wav"}));
const box = document.querySelector(".recording");
box.dispatchEvent(new DragEvent("drop", {dataTransfer, bubbles: true, cancelable: true}));
"""
CLICK = """
const all = [...document.querySelectorAll("button")];
all.find((button) => button.innerText.trim() === arguments[0]).click();
"""
CHOOSE = """
const radios = [...document.querySelectorAll("[type=radio]")];
radios.find(({value}) => value === arguments[0]).click();
"""
CTRL_ENTER = """
document.querySelector("#in-prompt").dispatchEvent(
  new KeyboardEvent("keydown", {key: "Enter", ctrlKey: true, bubbles: true, cancelable: true}));
"""
RECORDING = "return document.querySelector('.recording')?.innerText ?? ''"
CHOSEN = "return document.querySelector('.ab-side.chosen b')?.innerText"
NOTES = "return [...document.querySelectorAll('.ab-note')].map((note) => note.innerText)"
PRESS = (
    "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: arguments[0], bubbles: true}))"
)
STATE = "return document.querySelector('#tab-models .status-badge')?.dataset.status"
URL = "https://example.com/a-tune.wav"


def test_a_key_runs_and_two_pieces_are_compared(visit: Visit) -> None:
    browser = visit.browser
    ids = []
    for strategy in ("rms", "loudness"):
        visit.open()
        visit.write("prompt", f"solo piano, calm, {strategy}")
        visit.write("duration", "2")
        browser.run(CHOOSE, strategy)
        browser.run(CTRL_ENTER)
        browser.hear("return !!document.querySelector('.piece')", "it runs")
        ids.append(visit.finish()["id"])
    browser.run(CLICK, "Compare")
    browser.one(f".entry.choose[data-id='{ids[0]}'] .entry-name").click()
    browser.hear("return document.querySelector('.compare')?.dataset.ready", "both are there")
    assert browser.run(CHOSEN) == "A"
    browser.run(PRESS, "b")
    assert browser.run(CHOSEN) == "B"
    louder = [note for note in browser.run(NOTES) if note]
    assert len(louder) == 1, "one of the two is brought down"
    assert "dB" in louder[0]


def test_a_file_is_dropped(visit: Visit) -> None:
    visit.browser.run(DROP)
    ready = "return document.querySelector('.recording')?.dataset.ready === 'true'"
    visit.browser.hear(ready, "the file is there")
    assert "dropped.wav" in visit.browser.run(RECORDING)
    visit.write("prompt", "strings")
    visit.write("duration", "1")
    visit.browser.one(".run").click()
    entry = visit.finish()
    assert entry["status"] == "succeeded"
    assert entry["input"]["input_audio"]


def test_a_url_is_given(visit: Visit) -> None:
    browser = visit.browser
    browser.run(CLICK, "URL")
    browser.one("dialog input").type(URL)
    browser.run(CLICK, "Use it")
    assert URL in browser.run(RECORDING)
    browser.run("location.hash = 'api'")
    assert URL in browser.one("#tab-api pre").text


def test_a_model_is_unloaded_and_loaded(visit: Visit) -> None:
    browser = visit.browser
    browser.run("location.hash = 'models'")
    browser.hear("return document.querySelector('#tab-models .status-badge')", "the models")
    for act, state in (("Unload", "unloaded"), ("Load", "loaded")):
        before = browser.run(STATE)
        browser.run(CLICK, act)
        browser.until(lambda old=before: browser.run(STATE) != old, f"{act} has an effect")
        browser.until(lambda end=state: _is(browser.run(STATE), end), f"it is {state}")


def _is(state: str, wanted: str) -> bool:
    return state == wanted if wanted == "loaded" else state not in {"loaded", "loading"}


def test_a_token_is_asked_for(visit: Visit, tmp_path: Path) -> None:
    browser = visit.browser
    visit.known.append("401")
    with served(tmp_path / "guarded", token="open-sesame") as url:
        browser.go(url)
        for given in ("wrong", "open-sesame"):
            browser.one("dialog input").type(given)
            browser.run(CLICK, "Go on")
            if given == "wrong":
                browser.hear("return document.querySelector('dialog input')?.value === ''", "again")
        browser.hear(READY, "the page is ready")
        visit.write("prompt", "war drums")
        visit.write("duration", "1")
        browser.one(".run").click()
        browser.hear(DONE, "music is made, and looked at", 60)
        browser.go("about:blank")
