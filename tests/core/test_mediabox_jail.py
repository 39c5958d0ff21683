"""The box itself: what a process in it can't do, how it ends, and what the parent believes of it (security M5, M9, M10,
M17). Every test starts real processes."""

from __future__ import annotations

import ast
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bench import mediabox_samples as samples
from core import health, mediabox
from core.mediabox import jail, seccomp, starting, wire
from core.mediabox.boxed import Limits, Refused, Undecodable

ROOT = Path(__file__).resolve().parents[2]
TRIED = {"network", "local_sockets", "files", "writing", "processes", "programs", "signals", "memory"}


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture"
    path.write_bytes(samples.whole("png"))
    return path


@pytest.fixture
def without(monkeypatch):
    """`without("seccomp")`: boxes that lack these layers."""

    def left_out(*layers: str):
        monkeypatch.setattr(starting, "_left_out", set(layers))
        mediabox.state.cache_clear()
        return mediabox.state()

    yield left_out
    mediabox.state.cache_clear()


@pytest.fixture
def box_of(monkeypatch, tmp_path):
    """`box_of(code)`: this runs in place of the box's own program, after it has shut itself in (`jailed`) or at once."""

    def taken_over(code: str, *, jailed: bool = False) -> None:
        program = tmp_path / "mediabox" / "inside.py"
        program.parent.mkdir()
        head = f"import json, os, signal, sys, struct, time\nsys.path[:0] = [{str(ROOT / 'platform')!r}]\n"
        head += "sys.path += json.loads(sys.argv[1])['paths']\n"
        if jailed:
            head += (
                "import ctypes\nfrom core.mediabox import jail, wire\njob = json.loads(sys.argv[1])\n"
                "jail.limits(memory=job['memory'], cpu=job['cpu'])\njail.enter(job['parent'], frozenset(job['without']))\n"
            )
        program.write_text(head + code)
        monkeypatch.setattr(starting, "INSIDE", program)

    return taken_over


def why(path, **options):
    with pytest.raises(Undecodable) as no:
        mediabox.open_up(path, **options)
    return no.value


@contextmanager
def canary() -> Iterator[tuple[int, list[bytes]]]:
    """A web server on this machine that writes down who comes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        came: list[bytes] = []

        def serve() -> None:
            while True:
                try:
                    connection, _address = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(2)
                    came.append(connection.recv(4096))
                    connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1], came
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)


def named_elsewhere(port: int) -> bytes:
    """A JPEG that says its content credentials (c2pa) lie at an address of this machine."""
    return samples.with_xmp(
        samples.image("JPEG", samples.picture(32, 32)),
        f'dcterms:provenance="http://127.0.0.1:{port}/manifest.c2pa" dc:title="c2pa"',
    )


def test_m05_no_manifest_is_fetched(tmp_path):
    with canary() as (port, came):
        path = tmp_path / "elsewhere.jpg"
        path.write_bytes(named_elsewhere(port))
        boxed = mediabox.open_up(path)
    assert came == []
    assert "remote_manifest_not_fetched" in boxed.flags


def test_m05_neither_where_the_box_has_a_network(tmp_path, without):
    found = without("user_namespace", "seccomp", "landlock")
    assert found["self_test"]["network"] == "possible"
    with canary() as (port, came):
        path = tmp_path / "elsewhere.jpg"
        path.write_bytes(named_elsewhere(port))
        boxed = mediabox.open_up(path)
    assert came == []
    assert "remote_manifest_not_fetched" in boxed.flags


def test_m05_this_c2pa_would_fetch_it_by_default():
    """The two tests above prove something only as long as this holds; when it no longer does, c2pa has changed."""
    import c2pa

    with canary() as (port, came):
        with pytest.raises(c2pa.C2paError):
            c2pa.Reader("image/jpeg", io.BytesIO(named_elsewhere(port)))
    assert came and came[0].startswith(b"GET /manifest.c2pa")


def test_m09_and_m10_this_machine_gives_every_layer_or_says_which_not():
    found = mediabox.state()
    assert found["mode"] == ("reduced" if found["missing"] else "full")
    assert set(found["self_test"]) == TRIED
    # Whatever the kernel refuses, these two hold everywhere: limits need nobody's leave.
    assert found["self_test"]["memory"] == found["self_test"]["writing"] == "denied"


@pytest.mark.parametrize(
    ("left_out", "still_denied"),
    [
        (("seccomp",), TRIED - {"local_sockets"}),
        (("landlock",), TRIED),
        (("user_namespace",), TRIED),
        (("user_namespace", "landlock"), TRIED),
        (("seccomp", "landlock"), {"network", "files", "writing", "processes", "programs", "signals", "memory"}),
        (("user_namespace", "seccomp"), {"files", "writing", "programs", "memory"}),
        (("empty_file_system", "process_namespace"), TRIED),
    ],
    ids=lambda names: " ".join(sorted(names)),  # the same in every process: sets have no order
)
def test_m10_each_layer_holds_where_others_are_refused(without, picture, left_out, still_denied):
    if mediabox.state()["mode"] != "full":
        pytest.skip("this machine gives no full box, so none can be taken apart")
    found = without(*left_out)
    assert found["mode"] == "reduced"
    assert set(left_out) <= set(found["missing"])
    denied = {name for name, answer in found["self_test"].items() if answer == "denied"}
    assert still_denied <= denied
    assert mediabox.open_up(picture).kind == "image"
    assert health.box().startswith("reduced: ") and left_out[0] in health.box()


def test_m09_the_box_has_no_environment_and_no_foreign_files(box_of, picture, monkeypatch):
    monkeypatch.setenv("SECRET_KEY", "of the parent")
    box_of(
        "names = sorted(int(n) for n in os.listdir('/proc/self/fd'))\n"
        "assert sorted(set(os.environ) - {'LC_CTYPE'}) == ['LANG'], os.environ\n"
        "assert names[:3] == [0, 1, 2] and len(names) == 4, names\n"
        "assert os.getsid(0) == os.getpid() and os.getcwd() == '/'\n"
        "assert sys.flags.isolated and sys.flags.no_site\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\n"
    )
    assert why(picture).reason == "crashed: SIGUSR1"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("while True: pass", "out of time"),
        ("try: bytearray(4 << 30)\nexcept MemoryError: os._exit(7)", "crashed: exit 7"),
        ("ctypes.string_at(0)", "crashed: SIGSEGV"),
        ("os.abort()", "crashed: SIGABRT"),
        ("os._exit(3)", "crashed: exit 3"),
    ],
    ids=["loops", "takes memory", "segfaults", "aborts", "leaves"],
)
def test_m17_however_it_ends_it_is_undecodable(box_of, picture, code, reason):
    box_of(code, jailed=True)
    found = why(picture, limits=Limits(cpu=1, wall=20.0))
    # The first process of a namespace can't be aborted by itself; the C library then ends it by a fault.
    assert found.reason == reason or (reason == "crashed: SIGABRT" and found.crashed)
    assert found.crashed is reason.startswith("crashed")


def test_m17_a_stopped_box_is_killed_when_its_time_is_up(box_of, picture):
    box_of("os.kill(os.getpid(), signal.SIGSTOP)")
    began = time.monotonic()
    assert why(picture, limits=Limits(wall=1.0)).reason == "out of time"
    assert time.monotonic() - began < 3.0


def test_m17_a_box_that_says_nothing_is_killed_with_its_children(box_of, picture, tmp_path):
    note = tmp_path / "child"
    box_of(
        f"import subprocess\nchild = subprocess.Popen(['sleep', '60'])\nopen({str(note)!r}, 'w').write(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    assert why(picture, limits=Limits(wall=2.0)).reason == "out of time"
    assert not _alive(int(note.read_text()))


def test_m17_a_real_signal_in_a_real_decoder_is_named(box_of, picture):
    box_of("os.kill(os.getpid(), signal.SIGBUS)")
    assert (why(picture).reason, why(picture).crashed) == ("crashed: SIGBUS", True)


def test_m17_the_box_dies_with_its_worker(tmp_path, picture):
    program = tmp_path / "inside.py"
    program.write_text(
        f"import json, os, sys, time\njob = json.loads(sys.argv[1])\n"
        f"sys.path[:0] = [{str(ROOT / 'platform')!r}, *job['paths']]\nfrom core.mediabox import jail\njail.enter(job['parent'])\nos.write(1, b'MJBX')\ntime.sleep(60)\n"
    )
    worker = subprocess.Popen(
        [
            sys.executable, "-c",
            "import sys\nfrom pathlib import Path\nfrom core import mediabox\nfrom core.mediabox import starting\n"
            f"starting.INSIDE = Path({str(program)!r})\n"
            "before = starting._Reading.exactly\n"
            "def told(self, size):\n    got = before(self, size)\n    print('inside', flush=True)\n    return got\n"
            "starting._Reading.exactly = told\n"
            f"mediabox.open_up({str(picture)!r})\n",
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT / "platform")}, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert worker.stdout is not None and worker.stdout.readline() == b"inside\n"
    boxes = [pid for pid in _processes() if str(program).encode() in _line(pid)]
    assert boxes
    worker.kill()
    worker.wait()
    until = time.monotonic() + 10
    while any(_alive(pid) for pid in boxes) and time.monotonic() < until:
        time.sleep(0.02)
    assert [pid for pid in boxes if _alive(pid)] == []


def answer(**changes) -> str:
    """The code of a box that gives this answer."""
    head = {
        "status": "boxed", "missing": [], "kind": "image", "media_type": "image/png", "width": 16, "height": 16,
        "seconds": 0.0, "count": 1, "frames": [{"seconds": 0.0, "width": 16, "height": 16, "scale": 1.0}], "sound": 0,
        "metadata": {}, "flags": [], "codecs": {}, **changes,
    }  # fmt: skip
    return (
        f"said = {json.dumps(json.dumps(head))}.encode()\n"
        "sys.stdout.buffer.write(b'MJBX' + struct.pack('>I', len(said)) + said + bytes(16 * 16 * 3))\n"
    )


def test_an_honest_answer_is_believed(box_of, picture):
    box_of(answer(flags=["alpha"]))
    boxed = mediabox.open_up(picture)
    assert (boxed.flags, boxed.frames[0].rgb, boxed.media_type) == (["alpha"], bytes(768), "image/png")


FRAME = {"seconds": 0.0, "width": 16, "height": 16, "scale": 1.0}


@pytest.mark.parametrize(
    "code",
    [
        "sys.stdout.buffer.write(os.urandom(500_000))",
        "sys.stdout.buffer.write(b'<html>' * 100)",
        "sys.stdout.buffer.write(b'MJBX' + b'\\xff' * 4)",
        "sys.stdout.buffer.write(b'MJBX' + struct.pack('>I', 200_000) + b'[' * 200_000)",
        "while True: os.write(1, b'MJBX' + bytes(1 << 16))",
        "pass",
        answer() + "sys.stdout.buffer.write(b'!')",
        answer() + "sys.stdout.flush(); sys.exit(1)",
        answer() + "sys.stdout.flush(); os.kill(os.getpid(), signal.SIGSEGV)",
        answer(kind="video"),
        answer(kind="wizard"),
        answer(status="done"),
        answer(flags=["clean"]),
        answer(frames=[]),
        answer(frames=[{**FRAME, "width": 2_000_000_000}]),
        answer(frames=[{**FRAME, "width": -16, "height": -16}]),
        answer(frames=[{**FRAME, "width": 2048, "height": 2048}]),
        answer(frames=[FRAME] * 500),
        answer(frames=[{**FRAME, "scale": 1e400}]).replace("Infinity", "1e400"),
        answer(sound=10**12),
        answer(sound=-2),
        answer(metadata={"x": "y" * 100_000}),
        answer(metadata=7),
        answer(reason="x" * 5_000, status="refused"),
        answer(surprise=1),
    ],
)
def test_a_box_that_was_taken_over_gets_nothing_by_lying(box_of, picture, code):
    box_of(code)
    found = why(picture, limits=Limits(wall=5.0))
    assert found.crashed


def test_what_a_box_says_goes_into_the_database_as_it_is(box_of, picture):
    box_of(answer(metadata={"a\x00b": ["c\x00", {"d": "\x00"}]}))
    assert mediabox.open_up(picture).metadata == {"ab": ["c", {"d": ""}]}


def test_the_media_type_is_what_the_first_bytes_said(box_of, picture):
    box_of(answer(media_type="text/html"))
    assert mediabox.open_up(picture).media_type == "image/png"


def test_the_wire_says_what_was_put_on_it():
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as end:
        wire.write(writing, {"status": "x"}, [b"abc", b"", b"d"])
        os.close(writing)
        assert end.read() == b"MJBX" + (15).to_bytes(4) + b'{"status": "x"}abcd'


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_m10_the_filter_lets_no_dangerous_call_through(machine):
    """The program is run here as the kernel would run it."""
    lines = seccomp.program(machine, 1)
    audit, column = seccomp._ARCHITECTURES[machine]
    dangerous = {
        "x86_64": {"open": 2, "socket": 41, "connect": 42, "clone": 56, "fork": 57, "vfork": 58, "execve": 59, "kill": 62,
                   "ptrace": 101, "mount": 165, "openat": 257, "unshare": 272, "bpf": 321, "execveat": 322, "setns": 308,
                   "process_vm_writev": 311, "io_uring_setup": 425, "memfd_create": 319, "pidfd_open": 434, "prctl": 157,
                   "openat2": 437, "x32 read": 0x40000000},
        "aarch64": {"openat": 56, "socket": 198, "connect": 203, "clone": 220, "execve": 221, "kill": 129, "ptrace": 117,
                    "mount": 40, "unshare": 97, "bpf": 280, "execveat": 281, "setns": 268, "process_vm_writev": 271,
                    "io_uring_setup": 425, "memfd_create": 279, "pidfd_open": 434, "prctl": 167, "openat2": 437},
    }[machine]  # fmt: skip
    for name, number in dangerous.items():
        assert _ruling(lines, audit, number) & 0xFFFF0000 == 0x00050000, name
    assert _ruling(lines, audit, seccomp.CALLS["read"][column]) == 0x7FFF0000
    assert _ruling(lines, audit, seccomp.MMAP[column], (0, 0, 1)) == 0x7FFF0000
    assert _ruling(lines, audit, seccomp.MMAP[column], (0, 0, 5)) & 0xFFFF0000 == 0x00050000
    assert _ruling(lines, audit, seccomp.TGKILL[column], (1, 1, 6)) == 0x7FFF0000
    assert _ruling(lines, audit, seccomp.TGKILL[column], (77, 77, 9)) & 0xFFFF0000 == 0x00050000
    assert _ruling(lines, 0x40000003, 3) == 0x80000000  # another architecture's numbers: the end


def _ruling(lines: bytes, audit: int, number: int, arguments: tuple[int, ...] = ()) -> int:
    import struct

    data = {0: number, 4: audit, **{16 + 8 * n: value for n, value in enumerate(arguments)}}
    at, register = 0, 0
    while True:
        code, then, otherwise, value = struct.unpack_from("HBBI", lines, at * 8)
        at += 1
        if code == 0x20:
            register = data.get(value, 0)
        elif code == 0x15:
            at += then if register == value else otherwise
        elif code == 0x45:
            at += then if register & value else otherwise
        else:
            return value


def test_m10_every_layer_has_a_name():
    assert set(jail.LAYERS) >= {"landlock", "seccomp", "network_namespace", "limits"}


def test_a_file_that_is_away_is_said_so(tmp_path):
    with pytest.raises(FileNotFoundError):
        mediabox.open_up(tmp_path / "nothing")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(Refused):
        mediabox.open_up(tmp_path / "text")


def test_no_descriptor_and_no_process_is_left_behind(picture, tmp_path):
    broken = tmp_path / "broken"
    broken.write_bytes(samples.whole("png")[:200])
    mediabox.open_up(picture)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        mediabox.open_up(picture)
        why(broken)
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_interrupted_wait_leaves_no_box(box_of, picture):
    """Checks are ended by a signal when their time is up (moderation.checks): the box must not outlive that."""
    box_of("time.sleep(60)")

    class Enough(Exception):
        pass

    def enough(*_args):
        raise Enough

    before = signal.signal(signal.SIGALRM, enough)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    try:
        with pytest.raises(Enough):
            mediabox.open_up(picture)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert [pid for pid in _processes() if str(starting.INSIDE).encode() in _line(pid)] == []


def _sources():
    skipped = {"migrations", "vendor", ".venv"}
    for folder in ("platform", "accounts", "moderation", "rumors", "reporting", "governance", "labeling"):
        for path in (ROOT / folder).rglob("*.py"):
            if not skipped & set(path.parts):
                yield path, ast.parse(path.read_text(encoding="utf-8"))


def test_m07_pictures_are_opened_in_the_box_alone_and_by_named_formats():
    """Image.open, av.open and c2pa.Reader parse what strangers made."""
    wrong = []
    for path, tree in _sources():
        inside = path.parent.name == "mediabox" and path.name in ("images.py", "moving.py", "credentials.py")
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            if called in ("Image.open", "PIL.Image.open"):
                if not inside or "formats" not in {keyword.arg for keyword in node.keywords}:
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {called}")
            elif (
                called in ("av.open", "c2pa.Reader", "c2pa.Reader.try_create", "cv2.imread", "cv2.imdecode")
                and not inside
            ):
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {called}")
    assert wrong == []


def test_m16_no_loader_that_opens_everything_is_imported():
    banned = {"pyvips", "wand", "PythonMagick", "pgmagick", "imageio", "moviepy", "ffmpeg", "pillow_heif", "cairosvg"}
    wrong = []
    for path, tree in _sources():
        for node in ast.walk(tree):
            names = (
                [alias.name for alias in node.names] if isinstance(node, ast.Import)
                else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            )  # fmt: skip
            wrong += [f"{path.relative_to(ROOT)}: {name}" for name in names if name.split(".")[0] in banned]
    required = (ROOT / "requirements.txt").read_text().lower()
    assert wrong == []
    assert not [name for name in banned if f"\n{name.lower()}==" in required]


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
