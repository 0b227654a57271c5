"""Recordings as inputs on the page: upload, trim, continue, melody."""

from __future__ import annotations

import io
import math
from pathlib import Path

import httpx
import numpy as np
import pytest
import soundfile
from visit import Visit

pytestmark = pytest.mark.web

RATE_HZ = 32000
LOW_HZ = 330
HIGH_HZ = 880
FILE_NAME = "<img src=x onerror=window.hit=1> & low then high.wav"
NO_HARM = "return (window.hit ?? null) === null && !document.querySelector('img[src=x]')"
TRIM_READY = "return document.querySelector('.recording')?.dataset.ready === 'true'"
# Where the left handle of the chosen part is, and the width of the waveform.
HANDLE = """
const host = document.querySelector(".recording-wave").firstElementChild;
const handle = host.shadowRoot.querySelector('[part~="region-handle-left"]');
handle.scrollIntoView({block: "center"});
const box = handle.getBoundingClientRect();
return {x: box.x + box.width / 2, y: box.y + box.height / 2, width: host.clientWidth};
"""


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Two seconds of a low tone, then two of a high one, under a name that is no markup."""
    times = np.arange(2 * RATE_HZ) / RATE_HZ
    halves = [0.4 * np.sin(2 * np.pi * hz * times) for hz in (LOW_HZ, HIGH_HZ)]
    path = tmp_path / FILE_NAME
    soundfile.write(path, np.concatenate(halves), RATE_HZ)
    return path


def loudest_hz(samples: np.ndarray, rate_hz: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * rate_hz / len(samples))


def fetched(url: str) -> bytes:
    return httpx.get(url).raise_for_status().content


def upload(visit: Visit, path: Path) -> None:
    [chooser] = visit.browser.all("input[type=file]")
    chooser.type(str(path))
    visit.browser.hear(TRIM_READY, "the recording is drawn")


def test_upload_is_trimmed_and_continued(visit: Visit, recording: Path) -> None:
    browser = visit.browser
    upload(visit, recording)
    assert FILE_NAME in browser.one(".recording").text
    assert browser.run(NO_HARM)
    # The handle goes to the middle: the excerpt begins where the high tone does.
    at = browser.run(HANDLE)
    browser.drag((at["x"], at["y"]), (at["x"] + at["width"] / 2, at["y"]))
    browser.hear(
        "return document.querySelector('[name=continuation_start]').value === '2'",
        "the start follows the handle",
    )
    browser.one("[name=continuation]").click()
    visit.make("Strings", 5)
    entry = visit.finish()
    assert entry["input"]["continuation"] is True
    assert entry["input"]["continuation_start"] == 2
    assert entry["recording"]["name"] == FILE_NAME
    sound = fetched(visit.url + entry["downloads"]["wav"])
    samples, rate_hz = soundfile.read(io.BytesIO(sound), always_2d=True)
    # The two seconds of the excerpt, then five of new music.
    assert len(samples) / rate_hz == pytest.approx(7, abs=0.1)
    assert loudest_hz(samples[: int(1.8 * rate_hz), 0], rate_hz) == pytest.approx(HIGH_HZ, rel=0.03)
    assert np.abs(samples[3 * rate_hz :]).max() > 0.01
    assert browser.run(NO_HARM)


def test_piece_becomes_the_melody_of_the_next(visit: Visit, recording: Path) -> None:
    browser = visit.browser
    upload(visit, recording)
    visit.make("Piano", 4)
    entry = visit.finish()
    assert "continuation" not in entry["input"]
    melody = visit.get(entry["analysis_url"])["melody"]
    assert 0 <= melody["agreement"] <= 1
    agreed = f"{math.floor(100 * melody['agreement'] + 0.5)} % agree"  # as JavaScript rounds
    assert agreed in browser.one(".figures").text
    # The result is the next one's melody, by a button.
    name = browser.run(
        "[...document.querySelectorAll('.actions button')]"
        ".find((e) => e.textContent.includes('Use as melody')).click();"
        "return document.querySelector('.piece-title').textContent"
    )
    browser.hear(TRIM_READY, "the piece is drawn as a recording")
    assert name in browser.one(".recording").text
    visit.make("Choir", 3)
    browser.hear(
        "return document.querySelector('.piece-title').textContent === 'Choir'", "the next"
    )
    taken = fetched(visit.url + visit.finish()["recording"]["url"])
    assert taken == fetched(entry["output"])
