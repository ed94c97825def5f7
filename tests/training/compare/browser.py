"""A real headless Chromium, driven by WebDriver's plain HTTP: no package is needed for it."""

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")


def missing():
    """What is not installed, in words; None: a browser can be opened."""
    if not any(map(shutil.which, NAMES)):
        return "there is no Chromium here (Debian: apt-get install chromium chromium-driver)"
    if not shutil.which("chromedriver"):
        return "there is no chromedriver here (Debian: apt-get install chromium-driver)"
    return None


class Page:
    """An open page."""

    def __init__(self, session):
        self._session = session

    def _call(self, path, body=None):
        return call(self._session + path, body)

    def open(self, address):
        self._call("/url", {"url": address})

    def run(self, script):
        """The value that this JavaScript returns."""
        return self._call("/execute/sync", {"script": script, "args": []})

    def click(self, selector):
        """Click in the middle of the one element, where a person would."""
        found = self._call("/elements", {"using": "css selector", "value": selector})
        assert len(found) == 1, f"{len(found)} elements are {selector}"
        self._call(f"/element/{found[0][ELEMENT]}/click", {})

    def hover(self, selector):
        found = self._call("/element", {"using": "css selector", "value": selector})
        move = {"type": "pointerMove", "origin": found, "x": 0, "y": 0}
        mouse = {"type": "pointer", "id": "mouse", "actions": [move]}
        self._call("/actions", {"actions": [mouse]})

    def drag(self, selector, start, end):
        """Press at a share of the element's width, and let go at another."""
        found = self._call("/element", {"using": "css selector", "value": selector})
        width = self.run(
            f"return document.querySelector('{selector}').getBoundingClientRect().width"
        )
        move = {"type": "pointerMove", "origin": found, "y": 0}
        actions = [
            {**move, "x": round((start - 0.5) * width)},
            {"type": "pointerDown", "button": 0},
            {**move, "x": round((end - 0.5) * width)},
            {"type": "pointerUp", "button": 0},
        ]
        mouse = {"type": "pointer", "id": "mouse", "actions": actions}
        self._call("/actions", {"actions": [mouse]})

    def screenshot(self, path):
        path.write_bytes(base64.b64decode(self._call("/screenshot")))

    def messages(self):
        """What the browser complained of."""
        return self._call("/se/log", {"type": "browser"})

    def requests(self):
        """The addresses that the page asked for."""
        events = [
            json.loads(one["message"]) for one in self._call("/se/log", {"type": "performance"})
        ]
        sent = [one["message"] for one in events]
        sent = [one for one in sent if one["method"] == "Network.requestWillBeSent"]
        return [one["params"]["request"]["url"] for one in sent]


def call(address, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["value"]


@contextmanager
def open_page(folder, width=1280, height=1600):
    """A new browser with an empty page; its own files go to the folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    driver = subprocess.Popen(
        ["chromedriver", f"--port={port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    home = f"http://127.0.0.1:{port}"
    try:
        wait_for(f"{home}/status")
        binary = next(filter(None, map(shutil.which, NAMES)))
        words = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        words += [f"--window-size={width},{height}", f"--user-data-dir={folder}"]
        options = {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": binary, "args": words},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        made = call(f"{home}/session", {"capabilities": {"alwaysMatch": options}})
        session = f"{home}/session/{made['sessionId']}"
        try:
            yield Page(session)
        finally:
            request = urllib.request.Request(session, method="DELETE")
            urllib.request.urlopen(request, timeout=60).close()
    finally:
        driver.terminate()
        driver.wait(timeout=30)


def wait_for(address):
    deadline = time.monotonic() + 60
    while not answers(address):
        assert time.monotonic() < deadline, "chromedriver did not start"
        time.sleep(0.1)


def answers(address):
    try:
        call(address)
    except (urllib.error.URLError, ConnectionError):
        return False
    return True
