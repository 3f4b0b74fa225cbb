"""A headless Chromium, driven over the DevTools protocol's pipe: no port, no library."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WITHIN = 60.0
"""Seconds in which the browser has to answer anything."""

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def program() -> str | None:
    """The browser's program, None on a machine without one."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page. ``complaints`` are exceptions, console errors, refusals by the page's own policy, and requests for
    anything but the page itself."""

    def __init__(self, process: subprocess.Popen[bytes], write: int, read: int) -> None:
        self.complaints: list[str] = []
        self._process = process
        self._write = write
        self._read = read
        self._number = 0
        self._buffer = b""
        self._events: list[dict[str, Any]] = []
        self._session = ""
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask for one thing and wait for the answer."""
        self._number += 1
        asked: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            asked["sessionId"] = self._session
        os.write(self._write, json.dumps(asked).encode() + b"\0")
        while True:
            told = self._next()
            if told.get("id") == self._number:
                assert "error" not in told, (method, told)
                return dict(told["result"])

    def _next(self) -> dict[str, Any]:
        until = time.monotonic() + WITHIN
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(until - time.monotonic(), 0))
            octets = os.read(self._read, 1 << 16) if ready else b""
            assert octets, f"the browser did not answer within {WITHIN:g} s, or ended"
            self._buffer += octets
        line, self._buffer = self._buffer.split(b"\0", 1)
        told: dict[str, Any] = json.loads(line)
        self._hear(told)
        return told

    def _hear(self, told: Mapping[str, Any]) -> None:
        method, given = told.get("method"), told.get("params", {})
        if method:
            self._events.append(dict(told))
        if method == "Runtime.exceptionThrown":
            self.complaints.append(str(given["exceptionDetails"]))
        elif method == "Log.entryAdded" and given["entry"]["level"] in ("error", "warning"):
            self.complaints.append(str(given["entry"]))
        elif method == "Runtime.consoleAPICalled" and given["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(given))
        elif method == "Network.requestWillBeSent" and not given["request"]["url"].startswith("file:"):
            self.complaints.append(f"asks for {given['request']['url']}")

    def open(self, page: Path, width: int, dark: bool = False, height: int = 900) -> None:
        """Show a page at a width in CSS pixels, and wait until it is loaded."""
        mobile = width < 600
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self("Emulation.setEmulatedMedia", media="screen", features=features)
        self._events.clear()
        self("Page.navigate", url=page.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._next()

    def value(self, expression: str) -> Any:
        """What a JavaScript expression gives."""
        told = self("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    def picture(self, file: Path, *, whole: bool = False, **more: Any) -> None:
        """A screenshot, of the whole page or of what is in view."""
        told = self("Page.captureScreenshot", format="png", captureBeyondViewport=whole, **more)
        file.write_bytes(base64.b64decode(told["data"]))

    def printed(self, file: Path) -> None:
        """The page as PDF, by its style for paper."""
        self("Emulation.setEmulatedMedia", media="", features=[])
        told = self("Page.printToPDF", printBackground=True, preferCSSPageSize=True, paperWidth=8.27, paperHeight=11.7)
        file.write_bytes(base64.b64decode(told["data"]))


@contextmanager
def browser(scratch: Path) -> Iterator[Browser]:
    """A browser of one's own, gone at the end; its profile lies in ``scratch``."""
    found = program()
    assert found is not None, "no browser on this machine"
    to_browser, ours_out = os.pipe()
    ours_in, from_browser = os.pipe()

    # The pipe is expected at descriptors 3 and 4; a shell puts it there after everything else was closed.
    place = f'exec 3<&{to_browser} 4>&{from_browser}; exec "$@"'
    process = subprocess.Popen(
        [
            "bash", "-c", place, "browser", found, "--headless=new", "--no-sandbox", "--disable-gpu",
            "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--hide-scrollbars", f"--user-data-dir={scratch / 'profile'}",
            "--remote-debugging-pipe", "about:blank",
        ],
        pass_fds=(to_browser, from_browser), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={"PATH": os.environ["PATH"], "HOME": str(scratch)},
    )  # fmt: skip
    os.close(to_browser)
    os.close(from_browser)
    try:
        yield Browser(process, ours_out, ours_in)
    finally:
        os.close(ours_out)
        os.close(ours_in)
        process.terminate()
        process.wait(WITHIN)
