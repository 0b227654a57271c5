"""Headless Chromium, driven by the WebDriver protocol: just what these tests need of it."""

from __future__ import annotations

import base64
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

HOW_TO_GET_IT = "no browser was found: apt-get install chromium chromium-driver"
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
WAIT_S = 30
POLL_S = 0.05


class Element:
    """One element of the page."""

    def __init__(self, browser: Browser, id_: str) -> None:
        self._browser = browser
        self._id = id_

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        return self._browser.call(method, f"element/{self._id}/{path}", body)

    def click(self) -> None:
        self._call("POST", "click", {})

    def type(self, text: str) -> None:
        """Keys, as a person would press them; for a file input, the file's path."""
        self._call("POST", "value", {"text": text})

    def clear(self) -> None:
        self._call("POST", "clear", {})

    @property
    def text(self) -> str:
        return str(self._call("GET", "text"))

    def attribute(self, name: str) -> str | None:
        value = self._call("GET", f"attribute/{name}")
        return None if value is None else str(value)

    def state(self, name: str) -> Any:
        return self._call("GET", f"property/{name}")

    @property
    def is_shown(self) -> bool:
        return bool(self._call("GET", "displayed"))

    @property
    def as_argument(self) -> dict[str, str]:
        return {ELEMENT: self._id}


@dataclass
class Browser:
    """A session of chromedriver: one window."""

    client: httpx.Client
    session: str

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = self.client.request(method, f"/session/{self.session}/{path}", json=body)
        value = answer.json()["value"]
        assert answer.status_code == 200, f"{path}: {value}"
        return value

    def go(self, url: str) -> None:
        self.call("POST", "url", {"url": url})

    def reload(self) -> None:
        self.call("POST", "refresh", {})

    def all(self, css: str) -> list[Element]:
        found = self.call("POST", "elements", {"using": "css selector", "value": css})
        return [Element(self, one[ELEMENT]) for one in found]

    def one(self, css: str) -> Element:
        """The first element that matches, as soon as there is one that is shown."""

        find = (
            "return [...document.querySelectorAll(arguments[0])].find((e) => e.checkVisibility())"
        )

        def look() -> Element | None:
            found = self.run(find, css)
            return found and Element(self, found[ELEMENT])

        found: Element = self.until(look, f"{css} is shown")
        return found

    def until(self, look: Any, what: str, wait_s: float = WAIT_S) -> Any:
        """What `look` finds, as soon as it is true."""
        end = time.monotonic() + wait_s
        while not (found := look()):
            assert time.monotonic() < end, f"{wait_s} s have passed, but not: {what}"
            time.sleep(POLL_S)
        return found

    def run(self, script: str, *args: Any) -> Any:
        """The value of a script that returns one."""
        return self.call("POST", "execute/sync", {"script": script, "args": list(args)})

    def run_async(self, script: str, *args: Any) -> Any:
        """A script that awaits; its value."""
        wrapped = (
            "const done = arguments[arguments.length - 1];"
            f"(async (...args) => {{ {script} }})(...[...arguments].slice(0, -1))"
            ".then(done, (error) => done(`failed: ${error}`));"
        )
        return self.call("POST", "execute/async", {"script": wrapped, "args": list(args)})

    def hear(self, script: str, what: str, wait_s: float = WAIT_S) -> Any:
        """The value of `return …`, as soon as it is true."""
        return self.until(lambda: self.run(script), what, wait_s)

    def drag(self, start: tuple[float, float], end: tuple[float, float], n_steps: int = 8) -> None:
        """The mouse, pressed at one place of the window and let go at another."""
        steps: list[dict[str, Any]] = []
        for i in range(n_steps + 1):
            x, y = (int(a + (b - a) * i / n_steps) for a, b in zip(start, end, strict=True))
            steps.append({"type": "pointerMove", "x": x, "y": y, "duration": 20 if i else 0})
        steps.insert(1, {"type": "pointerDown", "button": 0})
        steps.append({"type": "pointerUp", "button": 0})
        hand = {"type": "pointer", "id": "mouse", "actions": steps}
        self.call("POST", "actions", {"actions": [hand]})

    def devtools(self, command: str, **params: Any) -> Any:
        return self.call("POST", "goog/cdp/execute", {"cmd": command, "params": params})

    def prepare(self, script: str) -> None:
        """Run a script in every page from now on, before its own."""
        self.devtools("Page.addScriptToEvaluateOnNewDocument", source=script)

    def size(self, width: int, height: int, *, is_phone: bool = False) -> None:
        """What the page takes for its window's size, in CSS pixels."""
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if is_phone else 1,
            mobile=is_phone,
        )

    def likes(self, scheme: str) -> None:
        """The person's colour scheme: "light" or "dark"."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.devtools("Emulation.setEmulatedMedia", features=features)

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """Keep a screenshot."""
        taken = self.devtools("Page.captureScreenshot", captureBeyondViewport=whole)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(taken["data"]))

    def complaints(self) -> list[str]:
        """What the browser's console has had to say since the last time: errors only."""
        lines = self.call("POST", "se/log", {"type": "browser"})
        return [line["message"] for line in lines if line["level"] == "SEVERE"]


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A browser of its own, ended with the block. It reaches this machine only."""
    driver, program = shutil.which("chromedriver"), _program()
    if driver is None or program is None:
        raise FileNotFoundError(HOW_TO_GET_IT)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    log = (profile / "driver.log").open("wb")
    process = subprocess.Popen([driver, f"--port={port}"], stdout=log, stderr=log)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
            _wait_for(client)
            made = client.post("/session", json=_wishes(program, profile)).json()["value"]
            assert "sessionId" in made, made
            browser = Browser(client, made["sessionId"])
            browser.call("POST", "timeouts", {"script": 60_000})
            try:
                yield browser
            finally:
                client.delete(f"/session/{browser.session}")
    finally:
        process.terminate()
        process.wait(20)
        log.close()


def _program() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


def _wishes(program: str, profile: Path) -> dict[str, Any]:
    switches = [
        "--headless=new",
        "--no-sandbox",  # the tests may run as root, in a container
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--hide-scrollbars",
        "--use-fake-device-for-media-stream",  # a microphone that beeps
        "--use-fake-ui-for-media-stream",
        "--disable-background-networking",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
        f"--user-data-dir={profile / 'profile'}",
        "--window-size=1440,1000",
    ]
    options = {"binary": program, "args": switches}
    wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
    return {"capabilities": {"alwaysMatch": wanted}}


def _wait_for(client: httpx.Client) -> None:
    end = time.monotonic() + WAIT_S
    while True:
        try:
            if client.get("/status").json()["value"]["ready"]:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < end, "chromedriver did not start"
        time.sleep(POLL_S)
