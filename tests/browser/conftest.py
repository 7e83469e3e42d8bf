"""A line that serves, and a browser without a window that looks at its page."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
START_SECONDS = 60.0
PATIENCE_MS = 20_000
# Software drawing, where a machine has no graphics card.
FLAGS = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


@dataclass
class ServedLine:
    """`cmdiad-rt serve` in a process of its own.

    Attributes:
        folder: its line.toml lies there, and its results.
        port: of the page.
        token: what its file of a token says.
    """

    folder: Path
    port: int
    token: str | None = None
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def address(self) -> str:
        """Of the page."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Serve, and wait until parts are taken."""
        code = "from cmdiad.cli.line import main; main()"
        command = [sys.executable, "-c", code, "serve", str(self.folder / "line.toml")]
        with (self.folder / "serve.log").open("wb") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"}, cwd=self.folder
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.address}/readyz", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        raise AssertionError((self.folder / "serve.log").read_text(encoding="utf-8"))

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(20)

    def inspect(self, scan: bytes, **said: str) -> dict[str, Any]:
        """Send a part; its answer, which may be that it was not inspected."""
        address = f"{self.address}/v1/inspect?{urllib.parse.urlencode(said)}"
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        try:
            with urllib.request.urlopen(urllib.request.Request(address, scan, headers), timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refused:
            return json.load(refused)


@pytest.fixture(scope="session")
def new_line() -> Callable[..., ServedLine]:
    """See `configured_line`."""
    return configured_line


def configured_line(folder: Path, bundles: dict[str, Path], token: str | None = None) -> ServedLine:
    """A line of products, on a port that is free now."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    lines = ["[line]", 'out = "served"', "threads = 1", "[http]", f"port = {port}"]
    if token is not None:
        (folder / "token").write_text(token, encoding="utf-8")
        lines.append('token_file = "token"')
    for name, bundle in bundles.items():
        lines += ["[[product]]", f'name = "{name}"', f"bundle = {json.dumps(str(bundle))}"]
    (folder / "line.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return ServedLine(folder, port, token)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The machine's own Chromium; tests skip where there is none, or no Playwright to steer it."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    pytest.importorskip("fastapi")
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    with playwright.sync_playwright() as steering:
        browser = steering.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Watched:
    """What a page does that nobody sees: complaints in the console, and addresses that it asked for."""

    complaints: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)

    def watch(self, page: Any) -> None:
        """From now on."""
        page.on("console", lambda said: said.type in ("error", "warning") and self.complaints.append(said.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: (self.complaints.append(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda request: self.addresses.append(request.url))

    def hosts(self) -> set[str]:
        """Whom it asked."""
        return {urllib.parse.urlsplit(url).netloc for url in self.addresses if not url.startswith(("data:", "blob:"))}


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.fixture
def new_page(chromium: Any, watched: Watched) -> Iterator[Callable[..., Any]]:
    """Opens a page; when the test ends, no page may have complained or asked another host."""
    contexts = []

    def opened(address: str, size: tuple[int, int] = (1440, 900), **options: Any) -> Any:
        context = chromium.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        watched.watch(page)
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert watched.complaints == []
    assert len(watched.hosts()) == 1
