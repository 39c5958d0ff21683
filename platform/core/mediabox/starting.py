"""Starting a box, waiting for it, and reading what it says (M9, M17)."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

import msgspec

from core.mediabox import formats, jail, self_test
from core.mediabox.boxed import Boxed, Frame, Limits, Refused, Undecodable
from core.mediabox.previews import encoded, poster
from core.mediabox.wire import MAGIC, MOST_HEAD, MOST_METADATA

INSIDE = Path(__file__).with_name("inside.py")
LARGEST, LONGEST, LARGEST_MOVING = 2048, 8192, 1024
LONGEST_SOUND = 1800 * 16_000 * 2
# Processor and wall seconds by kind. A sound of 30 minutes takes some 10 s to decode and resample, the sampled frames of
# a large video some 20 s more; a picture that takes 10 s is an attack.
_TIMES = {"image": (10, 20.0), "audio": (30, 45.0), "video": (45, 60.0)}
_CHUNK = 1 << 20


def _versions() -> str:
    names = ("pillow", "av", "c2pa-python")
    found = []
    for name in names:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found.append(f"{name} {importlib.metadata.version(name)}")
    return "box 1, " + ", ".join(found)


BOX_VERSION = _versions()


class _Frame(msgspec.Struct, forbid_unknown_fields=True):
    width: Annotated[int, msgspec.Meta(ge=1, le=LONGEST)]
    height: Annotated[int, msgspec.Meta(ge=1, le=LONGEST)]
    seconds: Annotated[float, msgspec.Meta(ge=0, le=1e7)]
    scale: Annotated[float, msgspec.Meta(gt=0, le=1e5)]


_Side = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
_Word = Annotated[str, msgspec.Meta(max_length=80)]


class _Answer(msgspec.Struct, forbid_unknown_fields=True):
    status: str
    missing: list[_Word] = []
    reason: Annotated[str, msgspec.Meta(max_length=120)] = ""
    kind: str = ""
    media_type: _Word = ""
    width: _Side = 0
    height: _Side = 0
    seconds: Annotated[float, msgspec.Meta(ge=0, le=1e7)] = 0.0
    count: Annotated[int, msgspec.Meta(ge=0)] = 0
    frames: list[_Frame] = []
    sound: Annotated[int, msgspec.Meta(ge=0, le=LONGEST_SOUND)] = 0
    metadata: dict[str, Any] = {}
    flags: list[_Word] = []
    codecs: dict[_Word, _Word] = {}
    self_test: dict[_Word, _Word] = {}


class _Lie(Exception):
    """The answer is not one that our box gives."""


def run(descriptor: int, known: formats.Format, *, frames: int, sound: bool, limits: Limits) -> Boxed:
    """Have the open file decoded. Raises Refused and Undecodable."""
    kind = "image" if known.pillow else "audio" if known.media_type.startswith("audio/") else "video"
    cpu, wall = _TIMES[kind]
    cpu, wall = limits.cpu or cpu, limits.wall or wall
    job = {
        "do": "decode",
        "format": known.name,
        "frames": frames,
        "sound": sound,
        "limits": dataclasses.asdict(limits),
        "memory": limits.memory,
        "cpu": cpu,
    }
    answer, parts = _ask(descriptor, job, wall=wall, most_frames=frames)
    if answer.status == "refused":
        raise Refused(_plain(answer.reason))
    if answer.status == "undecodable":
        raise Undecodable(_plain(answer.reason))
    return _believed(answer, parts, known)


def _ask(descriptor: int, job: dict[str, Any], *, wall: float, most_frames: int) -> tuple[_Answer, list[bytes]]:
    job = {"paths": _libraries(), "parent": os.getpid(), "without": sorted(_left_out), **job}
    box = subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", str(INSIDE), json.dumps(job)],
        stdin=descriptor,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"LANG": "C.UTF-8"},
        cwd="/",
        start_new_session=True,
    )
    assert box.stdout is not None
    until = time.monotonic() + wall
    try:
        reading = _Reading(box.stdout.fileno(), until)
        try:
            answer, parts = _read(reading, most_frames)
        except _Lie as exc:
            # Dead before its answer was whole, or talking nonsense: how it ended says which.
            raise Undecodable(_ended(box, until, str(exc))) from None
        if reason := _ended(box, until, ""):
            raise Undecodable(reason)
        return answer, parts
    except TimeoutError:
        raise Undecodable("out of time") from None
    finally:
        # While it is not reaped its number is nobody else's.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(box.pid, signal.SIGKILL)
        box.stdout.close()
        box.wait()


def _ended(box: subprocess.Popen[bytes], until: float, said: str) -> str:
    """How the box ended, in words; `said` where it ended well or does not end."""
    code = _exit_code(box.pid, max(0.1, min(2.0, until - time.monotonic())))
    if code is None:
        return said or "out of time"
    if code in (jail.OUT_OF_TIME, -signal.SIGXCPU):
        return "out of time"
    if code < 0:
        return f"crashed: {signal.Signals(-code).name}"
    return f"crashed: exit {code}" if code else said


def _exit_code(pid: int, seconds: float) -> int | None:
    """How a child ended, as subprocess says it; None if it still runs. Leaves it unreaped."""
    until = time.monotonic() + seconds
    pause = 0.0005
    while True:
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if ended is not None:
            return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        if time.monotonic() > until:
            return None
        time.sleep(pause)
        pause = min(pause * 2, 0.02)


class _Reading:
    """A pipe read with a deadline."""

    def __init__(self, descriptor: int, until: float):
        self.descriptor = descriptor
        self.until = until
        os.set_blocking(descriptor, False)
        self.poll = select.poll()
        self.poll.register(descriptor, select.POLLIN)

    def exactly(self, size: int) -> bytes:
        """So many bytes. Raises _Lie where the pipe ends before, TimeoutError when the time is up."""
        got = bytearray()
        while len(got) < size:
            part = self.some(min(_CHUNK, size - len(got)))
            if not part:
                raise _Lie("crashed: no answer")
            got += part
        return bytes(got)

    def some(self, most: int) -> bytes:
        """What is there, empty at the end."""
        while True:
            left = self.until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            if self.poll.poll(left * 1000):
                with contextlib.suppress(BlockingIOError):
                    return os.read(self.descriptor, most)


def _read(reading: _Reading, most_frames: int) -> tuple[_Answer, list[bytes]]:
    if reading.exactly(4) != MAGIC:
        raise _Lie("crashed: nonsense")
    size = int.from_bytes(reading.exactly(4))
    if size > MOST_HEAD:
        raise _Lie("crashed: nonsense")
    try:
        answer = msgspec.json.decode(reading.exactly(size), type=_Answer)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise _Lie("crashed: nonsense") from None
    sizes = [frame.width * frame.height * 3 for frame in answer.frames] + [answer.sound]
    # One large still, a cover, and the frames of what moves: no more than that, whoever asks for the memory.
    if len(sizes) > most_frames + 2 or sum(sizes[:-1]) > 3 * (2 * LARGEST**2 + most_frames * LARGEST_MOVING**2):
        raise _Lie("crashed: nonsense")
    parts = [reading.exactly(size) for size in sizes]
    if reading.some(1):
        raise _Lie("crashed: nonsense")
    return answer, parts


def _believed(answer: _Answer, parts: list[bytes], known: formats.Format) -> Boxed:
    of_this = {"image"} if known.pillow else {"audio", "video"}
    media_type = known.media_type if answer.kind != "audio" else known.media_type.replace("video/", "audio/")
    unknown = set(answer.flags) - set(formats.FLAGS)
    if answer.status != "boxed" or answer.kind not in of_this or unknown or answer.sound % 2:
        raise Undecodable("crashed: nonsense")
    if answer.kind != "audio" and not answer.frames:
        raise Undecodable("crashed: nonsense")
    metadata = _plain(answer.metadata)
    if len(json.dumps(metadata)) > MOST_METADATA:
        raise Undecodable("crashed: nonsense")
    frames = [
        Frame(frame.seconds, frame.width, frame.height, rgb, frame.scale)
        for frame, rgb in zip(answer.frames, parts, strict=False)
    ]
    shown = poster(frames)
    return Boxed(
        kind=answer.kind,
        media_type=media_type,
        width=answer.width,
        height=answer.height,
        seconds=answer.seconds,
        frames=frames,
        sound=parts[-1] or None,
        metadata=metadata,
        flags=sorted(set(answer.flags)),
        preview=encoded(shown) if shown else b"",
        codecs={_plain(kind): _plain(name) for kind, name in answer.codecs.items()},
    )


def _plain(value: Any) -> Any:
    """Without NUL, which PostgreSQL does not store."""
    if isinstance(value, str):
        return value.replace("\x00", "")
    if isinstance(value, dict):
        return {_plain(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value


@lru_cache(maxsize=1)
def _libraries() -> list[str]:
    """The folders where the decoders are installed: an isolated Python knows none."""
    found: dict[str, None] = {}
    for name in ("PIL", "av", "c2pa"):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations:
            found[str(Path(spec.submodule_search_locations[0]).parent)] = None
    return list(found)


_left_out: set[str] = set()  # layers of the jail that tests of the reduced mode leave out


@lru_cache(maxsize=1)
def state() -> dict[str, Any]:
    """Whether boxes are "full" or "reduced" here, which layers or denials are missing, and what a box said that tried to
    get out. Tried once per process; `state.cache_clear()` tries again."""
    denied: dict[str, str] = {}
    with socket.create_server(("127.0.0.1", 0)) as canary, open(os.devnull, "rb") as nothing:
        job = {"do": "self_test", "port": canary.getsockname()[1], "memory": Limits().memory, "cpu": 10}
        try:
            answer, _parts = _ask(nothing.fileno(), job, wall=20.0, most_frames=0)
            denied = {name: answer.self_test.get(name, "not tried") for name in self_test.TRIED}
            missing = [layer for layer in jail.LAYERS if layer in answer.missing]
        except Undecodable as exc:
            missing = [f"self-test: {exc.reason}"]
    missing += [f"self-test: {name} {said}" for name, said in denied.items() if said != "denied"]
    return {"mode": "reduced" if missing else "full", "missing": missing, "self_test": denied}
