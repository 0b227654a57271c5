"""A visit to the page: a server with epic-mini, a browser, and what can be heard in it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from chromium import Browser

START_S = 60
MAKE_S = 60
# Notes when the page is ready, what is clicked, and what goes to the loudspeakers.
LISTEN = """
window.heard = {};
addEventListener("click", (event) => {
  if (!event.target.closest(".run")) return;
  window.heard = {clicked: performance.now(), first: null, at: null, loudest: 0, now: 0};
}, true);
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (to, ...rest) {
  if (to === this.context.destination && !this.context.tap) {
    const tap = this.context.tap = this.context.createAnalyser();
    const values = new Float32Array(tap.fftSize);
    setInterval(() => {
      heard.isMute = this.context.state !== "running";  // then the tap keeps its last values
      tap.getFloatTimeDomainData(values);
      heard.now = Math.max(...values.map(Math.abs));
      heard.loudest = Math.max(heard.loudest, heard.now);
      if (heard.now > 0.001 && heard.first === null) {
        heard.first = performance.now();
        heard.at = Date.now();
      }
    }, 10);
  }
  if (to === this.context.destination) connect.call(this, this.context.tap);
  return connect.call(this, to, ...rest);
};
new MutationObserver(() => {
  if (document.documentElement?.dataset.ready) window.readyAt ??= performance.now();
}).observe(document, {attributes: true, subtree: true, attributeFilter: ["data-ready"]});
"""
READY = "return document.documentElement.dataset.ready === 'true'"
DONE = "return document.querySelector('.piece')?.dataset.ready === 'true'"
BADGE = "return document.querySelector('.piece .status-badge')?.dataset.status"


@contextmanager
def served(home: Path, token: str = "") -> Iterator[str]:
    """`fanfare serve` on a port of its own; its address, once its worker is ready."""
    env = {**os.environ, **({"FANFARE_TOKENS": token} if token else {})}
    headers = {"Authorization": f"Bearer {token or None}"}
    home.mkdir(exist_ok=True)
    log = home / "served.log"
    command = [sys.executable, "-m", "fanfare.cli", "serve", "--port", "0", "--home", str(home)]
    with log.open("ab") as out:
        begins = log.stat().st_size
        process = subprocess.Popen(command, stdout=out, stderr=out, env=env)
        try:
            end = time.monotonic() + START_S
            while not (found := re.search(r"listens at (http://\S+);", said(log, begins))):
                assert process.poll() is None, said(log, begins)
                assert time.monotonic() < end, said(log, begins)
                time.sleep(0.1)
            url = found.group(1)
            status = f"{url}/v1/status"
            while httpx.get(status, headers=headers).json()["worker"]["state"] != "ready":
                assert time.monotonic() < end, said(log, begins)
                time.sleep(0.1)
            yield url
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(START_S)


def said(log: Path, begins: int) -> str:
    return log.read_bytes()[begins:].decode(errors="replace")


@dataclass
class Visit:
    """A browser at a server's page."""

    browser: Browser
    url: str
    known: list[str] = field(default_factory=list)  # console lines that a test brings about

    def open(self, path: str = "/") -> None:
        """A fresh page."""
        self.browser.go("about:blank")
        self.browser.go(self.url + path)
        self.browser.hear(READY, "the page is ready")

    def get(self, path: str) -> Any:
        return httpx.get(f"{self.url}{path}").raise_for_status().json()

    @property
    def newest(self) -> Any:
        """The history's first entry."""
        return self.get("/v1/history?limit=1")["results"][0]

    def write(self, name: str, text: str) -> None:
        """Put a value into the field of an input."""
        box = self.browser.one(f"[name={name}]")
        box.clear()
        box.type(text)

    def make(self, prompt: str, duration_s: int) -> None:
        """Ask for a piece by the form."""
        self.write("prompt", prompt)
        self.write("duration", str(duration_s))
        self.browser.one(".run").click()

    def finish(self) -> Any:
        """Wait until the piece on show is done and looked at; its entry."""
        self.browser.hear(DONE, "the piece is looked at", MAKE_S)
        return self.newest
