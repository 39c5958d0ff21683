"""A real browser against the running installation. Pictures go to a folder under the data directory; with SCREENSHOTS=1
they replace those in docs/screenshots."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.installation import ROOT, Stack


def chromium() -> str | None:
    """The browser that script/test found, else one on PATH; None lets Playwright look for its own."""
    given = os.environ.get("CHROMIUM")
    return given or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox", "--disable-quic", "--disable-background-networking"]
        )
        yield running
        running.close()


class Visitor:
    """Somebody at a browser. Console errors and CSP violations are remembered and fail the test at its end."""

    def __init__(self, stack: Stack, context: BrowserContext, pictures: Path):
        self.stack, self.context, self.pictures = stack, context, pictures
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda m: self.complaints.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda e: self.complaints.append(str(e)))

    def visit(self, path: str) -> Page:
        self.page.goto(self.stack.url + path)
        return self.page

    def login(self, username: str) -> Page:
        password = next(s["password"] for s in self.stack.ready["staff"] if s["username"] == username)
        self.visit("/login/")
        self.page.fill("[name=username]", username)
        self.page.fill("[name=password]", password)
        self.page.keyboard.press("Enter")
        self.page.wait_for_url(self.stack.url + "/")
        return self.page

    def picture(self, name: str) -> None:
        self.page.wait_for_load_state("networkidle")
        self.page.screenshot(path=self.pictures / f"{name}.png")


@pytest.fixture(scope="session")
def pictures(stack: Stack) -> Path:
    folder = ROOT / "docs" / "screenshots" if os.environ.get("SCREENSHOTS") else stack.data / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def visitor(browser: Browser, stack: Stack, pictures: Path) -> Iterator[Callable[..., Visitor]]:
    """`visitor()` opens a browser window; `size`, `scheme` and `language` may be given."""
    open_contexts: list[BrowserContext] = []
    all_visitors: list[Visitor] = []

    def enter(
        size: tuple[int, int] = (1366, 768), scheme: str = "light", language: str = "zh-CN", **more: Any
    ) -> Visitor:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, locale=language, **more
        )
        context.set_default_timeout(15_000)
        open_contexts.append(context)
        all_visitors.append(Visitor(stack, context, pictures))
        return all_visitors[-1]

    yield enter
    for context in open_contexts:
        context.close()
    complaints = [c for v in all_visitors for c in v.complaints if "status of 4" not in c]
    assert not complaints, complaints
