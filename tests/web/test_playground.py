"""Making and hearing music on the page, in a real browser, with epic-mini."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest
from visit import BADGE, Visit

pytestmark = pytest.mark.web

FIRST_SOUND_S = 1.5
READY_S = 1.0
MAX_PAGE_BYTES = 300_000
PAGE = Path(__file__).parents[2] / "src/fanfare/server/web"
# Peak and rms of a piece as the browser itself decodes it.
DECODED = """
const got = await fetch(new URL(args[0], location.href));
const sound = await new AudioContext().decodeAudioData(await got.arrayBuffer());
const values = sound.getChannelData(0);
let [peak, sum] = [0, 0];
for (const value of values) { peak = Math.max(peak, Math.abs(value)); sum += value * value; }
return {seconds: sound.duration, peak, rms: Math.sqrt(sum / values.length)};
"""


def test_page_is_light_and_soon_ready(visit: Visit, capsys: pytest.CaptureFixture[str]) -> None:
    browser = visit.browser
    loaded = browser.run(
        "return performance.getEntries().filter((e) => e.name.startsWith('http'))"
        ".map((e) => [new URL(e.name).origin, e.decodedBodySize])"
    )
    assert {origin for origin, _ in loaded} == {visit.url}
    n_bytes = sum(size for _, size in loaded)
    kept = sum(path.stat().st_size for path in PAGE.rglob("*") if path.is_file())
    ready_s = browser.run("return readyAt / 1000")
    with capsys.disabled():
        print(f"\npage: {n_bytes} bytes, files {kept} bytes, ready after {ready_s:.2f} s")
    assert n_bytes <= MAX_PAGE_BYTES
    assert kept <= MAX_PAGE_BYTES
    assert ready_s <= READY_S


def test_music_is_heard_while_it_is_made(visit: Visit, capsys: pytest.CaptureFixture[str]) -> None:
    browser = visit.browser
    visit.make("Heroic brass over taiko, 120 bpm", 8)
    browser.hear("return heard.first !== null", "sound")
    first_s = browser.run("return (heard.first - heard.clicked) / 1000")
    entry = visit.finish()
    done = datetime.fromisoformat(entry["completed_at"]).timestamp()
    early_s = done - browser.run("return heard.at / 1000")
    with capsys.disabled():
        print(f"\nfirst sound {first_s:.2f} s after the click, {early_s:.2f} s before the end")
    assert early_s > 0
    assert browser.run("return heard.loudest") > 0.01
    decoded = browser.run_async(DECODED, entry["audio_url"])
    assert decoded["seconds"] == pytest.approx(8, abs=0.1)
    assert decoded["peak"] > 0.05
    assert decoded["rms"] > 0.005
    assert first_s <= FIRST_SOUND_S


def test_stop_ends_the_piece_and_its_sound(visit: Visit) -> None:
    # What was stopped has no file (409), and its stream breaks off.
    visit.known += ["status of 409", "ERR_INCOMPLETE_CHUNKED_ENCODING"]
    browser = visit.browser
    visit.make("Slow strings", 60)
    browser.hear("return heard.first !== null", "sound")
    browser.one(".stop").click()
    browser.hear("return heard.isMute || heard.now < 0.001", "silence")
    browser.until(lambda: browser.run(BADGE) == "canceled", "the piece is stopped")
    assert visit.newest["status"] == "canceled"
    assert browser.one(".entry").attribute("class") == "entry canceled"


def test_error_stands_at_its_field(visit: Visit) -> None:
    visit.known += ["status of 422"]
    browser = visit.browser
    before = visit.get("/v1/history?limit=100")["results"]
    visit.make("Too long", 100000)
    shown = browser.one("[data-field=duration] .field-error")
    assert "600" in shown.text
    box = browser.one("[name=duration]")
    assert box.attribute("aria-invalid") == "true"
    assert str(shown.attribute("id")) in str(box.attribute("aria-describedby"))
    assert len(visit.get("/v1/history?limit=100")["results"]) == len(before)
    visit.write("duration", "4")
    browser.hear(
        "return !document.querySelector('[data-field=duration] [aria-invalid]')",
        "the error goes when the value changes",
    )
