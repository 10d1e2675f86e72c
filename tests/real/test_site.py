"""The example site, asked by a program and opened in a browser.

SCREENSHOTS=directory keeps what the browser has shown.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
from http_client import ask
from served import HUBS, SECONDS, Served, serve
from webdriver import Browser, browser, missing

SITE = Path(__file__).parents[2] / "examples" / "site" / "app.py"
LOOKS = {
    "desktop-light": {"width": 1280, "height": 900, "scheme": "light"},
    "desktop-dark": {"width": 1280, "height": 900, "scheme": "dark"},
    "phone-light": {"width": 390, "height": 844, "scheme": "light", "phone": True},
    "phone-dark": {"width": 390, "height": 844, "scheme": "dark", "phone": True},
}


@pytest.fixture(scope="module", params=HUBS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    with serve(f"{SITE}:app", tmp_path_factory.mktemp("site"), hub=request.param) as served:
        yield served
        served.stop()


@pytest.fixture
def chromium(tmp_path: Path) -> Iterator[Browser]:
    if reason := missing():
        pytest.skip(reason)
    with browser(tmp_path) as opened:
        yield opened


def test_a_thousand_blocking_calls_take_about_as_long_as_one(server: Served) -> None:
    connection = server.connect()

    events = [json.loads(line) for line in ask(connection, "GET", "/fanout").text.splitlines()]
    connection.close()

    outcome = events.pop()
    assert (outcome["calls"], outcome["failed"], outcome["waited"]) == (1000, 0, 200.0)
    assert 0.2 < outcome["seconds"] < 4.0
    assert sorted(number for number, what, _ in events if what == "start") == list(range(1000))
    assert sorted(number for number, what, _ in events if what == "end") == list(range(1000))


def test_the_process_tells_of_itself_once_a_second(server: Served) -> None:
    connection = server.connect()
    connection.request("GET", "/live")
    response = connection.getresponse()

    lines = response.read().splitlines()
    told = [json.loads(line[len(b"data: ") :]) for line in lines if line.startswith(b"data: ")]

    assert response.getheader("Content-Type") == "text/event-stream"
    assert len(told) == 5
    assert 3.9 < told[4]["clock"] - told[0]["clock"] < 8.0
    assert told[0]["memory"] > 1 << 20
    connection.close()


def test_an_upload_is_measured_and_hashed(server: Served) -> None:
    connection = server.connect()
    body = bytes(range(256)) * (1 << 14)

    measured = json.loads(ask(connection, "POST", "/upload", body).body)

    assert measured["bytes"] == len(body)
    assert measured["sha256"] == hashlib.sha256(body).hexdigest()
    connection.close()


def test_the_large_file_comes_whole(server: Served) -> None:
    connection = server.connect()
    connection.request("GET", "/download")
    response = connection.getresponse()

    length = int(response.headers["Content-Length"])
    received = 0
    while piece := response.read(1 << 20):
        received += len(piece)

    assert (length, received) == (256 << 20, 256 << 20)
    connection.close()


def test_a_browser_runs_every_demonstration_without_a_complaint(
    server: Served, chromium: Browser, tmp_path: Path
) -> None:
    chromium.look(**LOOKS["desktop-light"])
    chromium.open(server.url)

    chromium.click("#run")
    chromium.wait_for(lambda: "of waiting" in chromium.text("#result"), "an outcome")
    assert chromium.text("#result").startswith("200.0 s of waiting in ")
    assert "1000 calls at once" in chromium.text("#result")
    chromium.click("#upload")
    chromium.wait_for(lambda: "SHA" in chromium.text("#upload-result"), "the upload")
    assert chromium.text("#upload-result").startswith("64 MiB in ")
    chromium.click("#download")
    chromium.wait_for(lambda: "/s." in chromium.text("#download-result"), "the download")
    assert chromium.text("#download-result").startswith("256 MiB in ")
    chromium.wait_for(lambda: chromium.text("[data-key=memory] p").endswith("MiB"), "live numbers")

    for name, look in LOOKS.items():
        chromium.look(**look)
        assert chromium.script("return document.documentElement.scrollWidth") == look["width"]
        screenshot = Path(os.environ.get("SCREENSHOTS", tmp_path)) / f"{name}.png"
        chromium.screenshot(screenshot)
        assert screenshot.stat().st_size > 10_000
    assert chromium.console() == []


def test_the_keyboard_alone_starts_the_calls(server: Served, chromium: Browser) -> None:
    chromium.open(server.url)

    chromium.type("#run", "\ue007")  # Return, where the focus is put by the browser.
    chromium.wait_for(lambda: "of waiting" in chromium.text("#result"), "an outcome")

    names = chromium.script(
        "return [...document.querySelectorAll('button, a, input, canvas, progress')].map(e =>"
        " e.ariaLabel || e.innerText || e.labels?.[0]?.innerText || '')"
    )
    assert all(name.strip() for name in names), names


def test_without_green_threads_it_makes_ten_calls_one_after_another(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, str(SITE), "0"],
        env={**os.environ, "PYTHONSAFEPATH": ""},  # A script finds what lies beside it.
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    port = int(process.stdout.readline().split("/")[2].split(":")[1])
    connection = HTTPConnection("127.0.0.1", port, timeout=SECONDS)

    outcome = json.loads(ask(connection, "GET", "/fanout").text.splitlines()[-1])

    assert (outcome["calls"], outcome["at_once"]) == (10, False)
    assert outcome["seconds"] >= 2.0
    connection.close()
    process.send_signal(signal.SIGTERM)
    process.wait(SECONDS)
    process.stdout.close()
