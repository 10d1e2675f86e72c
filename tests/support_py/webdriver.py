"""Chromium, driven through chromedriver by the W3C WebDriver protocol: JSON over HTTP.

Only what the tests here need. The browser has an empty profile of its own and talks to nobody but
the page under test.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

SECONDS = 60.0
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # The protocol's name for a reference.
ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",  # Chromium refuses its sandbox where it is run by root.
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
]


def missing() -> str | None:
    """Why no browser can be driven here; None: it can."""
    absent = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    if absent:
        return f"{' and '.join(absent)} not installed"
    try:
        socket.getaddrinfo("localhost", None)
    except socket.gaierror:
        return "chromedriver finds its browser by the name localhost, which is unknown here"
    return None


class Browser:
    def __init__(self, port: int, profile: Path) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": {
                "binary": shutil.which("chromium"),
                "args": [*ARGUMENTS, f"--user-data-dir={profile}"],
            },
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        self._session = ""
        answer = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self._session = f"/session/{answer['sessionId']}"

    def quit(self) -> None:
        self._ask("DELETE", "")
        self._connection.close()

    def open(self, url: str) -> None:
        self._ask("POST", "/url", {"url": url})

    def script(self, code: str, *arguments: Any) -> Any:
        return self._ask("POST", "/execute/sync", {"script": code, "args": list(arguments)})

    def text(self, css: str) -> str:
        return str(self._ask("GET", f"/element/{self._find(css)}/text"))

    def click(self, css: str) -> None:
        self._ask("POST", f"/element/{self._find(css)}/click", {})

    def type(self, css: str, text: str) -> None:
        self._ask("POST", f"/element/{self._find(css)}/value", {"text": text})

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"never happened: {what}"
            self.script("return new Promise(done => requestAnimationFrame(done))")

    def console(self) -> list[str]:
        """What the page has logged of warnings and errors since the last call."""
        entries = self._ask("POST", "/se/log", {"type": "browser"})
        return [each["message"] for each in entries if each["level"] in ("WARNING", "SEVERE")]

    def look(self, width: int, height: int, *, scheme: str, phone: bool = False) -> None:
        """How the page is shown: the size of the window, light or dark."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1}
        self._devtools("Emulation.setDeviceMetricsOverride", {**metrics, "mobile": phone})
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},  # Nothing slides under a click.
        ]
        self._devtools("Emulation.setEmulatedMedia", {"features": features})

    def screenshot(self, file: Path) -> None:
        """The whole page, not only what the window shows."""
        shot = self._devtools("Page.captureScreenshot", {"captureBeyondViewport": True})
        file.write_bytes(base64.b64decode(shot["data"]))

    def _devtools(self, command: str, parameters: dict[str, Any]) -> Any:
        return self._ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def _find(self, css: str) -> str:
        found = self._ask("POST", "/element", {"using": "css selector", "value": css})
        return str(found[ELEMENT])

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        data = None if body is None else json.dumps(body)
        self._connection.request(
            method, self._session + path, data, {"Content-Type": "application/json"}
        )
        answer = json.loads(self._connection.getresponse().read())["value"]
        if isinstance(answer, dict) and "error" in answer:
            raise AssertionError(f"{answer['error']}: {answer['message']}")
        return answer


@contextmanager
def browser(directory: Path) -> Iterator[Browser]:
    """`directory` holds the profile and the driver's log."""
    with open(directory / "chromedriver.log", "wb") as log:
        driver = subprocess.Popen(
            ["chromedriver", "--port=0"],
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, "HOME": str(directory)},
        )
    assert driver.stdout is not None
    try:
        port = next(
            int(found[1])
            for line in driver.stdout
            if (found := re.search(rb"successfully on port (\d+)", line))
        )
        opened = Browser(port, directory / "profile")
        try:
            yield opened
        finally:
            opened.quit()
    finally:
        driver.terminate()
        driver.wait()
        driver.stdout.close()
