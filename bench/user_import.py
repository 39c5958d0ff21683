"""user_import: 100,000 users from a CSV file, checked and carried out by `manage.py import_users` in a process of its
own; rows per second of the real run, and the largest memory that the process ever had. BENCH_ROWS changes the size."""

from __future__ import annotations

import contextlib
import csv
import itertools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import place

ROWS = int(os.environ.get("BENCH_ROWS", "100000"))
GOAL = 500  # rows a second
MEMORY = 300  # MB
COUNTIES = ("110101", "110102", "110103", "110104", "110105", "110106")  # there since the lists began
HEAD = ["external_id", "kind", "display_name", "region", "method", "name", "number", "verified_at", "verified_by"]


def numbers() -> itertools.chain[str]:
    """ID numbers with right check digits of nobody: birth in January 1900."""
    from stdnum.cn import ric

    def of(county: str):
        for day, sequence in itertools.product(range(1, 32), range(1, 1000)):
            body = f"{county}190001{day:02}{sequence:03}"
            yield body + ric.calc_check_digit(body + "0")

    return itertools.chain.from_iterable(of(county) for county in COUNTIES)


def write(path: Path) -> None:
    """The file: every hundredth row has a wrong check digit, every second was verified before."""
    with path.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(HEAD)
        for n, number in zip(range(ROWS), numbers(), strict=False):
            if n % 100 == 7:
                number = number[:-1] + ("1" if number[-1] != "1" else "2")
            before = ["2024-05-31 09:30", "柜台"] if n % 2 else ["", ""]
            writer.writerow([f"user-{n}", "person", f"昵称{n}", "北京", "id_number", "试名", number, *before])


def largest(pid: int) -> float:
    """The most memory that a process ever had, in MB. Not what wait4() says: that counts what its parent had before."""
    with contextlib.suppress(OSError, StopIteration):
        status = Path(f"/proc/{pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM:")).split()[1]) / 1024
    return 0.0


def main() -> dict[str, float]:
    """Once without and once with --carry-out: the difference in time is the real run."""
    with place.database("bench_user_import"), tempfile.TemporaryDirectory() as folder:
        place.django()
        place.raise_world()
        from accounts import staff
        from accounts.models import User, UserImport

        staff.create_staff(username="zhou", display_name="Zhou", role="identity_admin", by="system:bench")
        path = Path(folder) / "users.csv"
        write(path)
        command = [
            sys.executable, str(place.ROOT / "manage.py"), "import_users", str(path), "--service", "bench",
            "--by", "zhou", "--carry-out", "--trust",
        ]  # fmt: skip
        environment = {**os.environ, "MINGJIAN_ACCOUNTS_PER_IDENTITY": "1"}
        started = time.perf_counter()
        child = subprocess.Popen(command, cwd=place.ROOT, env=environment, stdout=subprocess.DEVNULL)
        memory = 0.0
        while child.poll() is None:
            memory = max(memory, largest(child.pid))
            time.sleep(0.05)
        took = time.perf_counter() - started
        row = UserImport.objects.get()
        refused = len(range(7, ROWS, 100))
        assert child.returncode == 0 and row.state == "finished", (child.returncode, row.state, row.error)
        assert (row.imported, row.refused) == (ROWS - refused, refused), (row.imported, row.refused)
        assert User.objects.filter(external_id__startswith="user-").count() == ROWS - refused
        from core.models import AuditEvent

        begun = AuditEvent.objects.get(action="user_import.carry_out").at
        seconds = (row.finished_at - begun).total_seconds()
        from django.db import connection

        connection.close()
    rate = ROWS / seconds
    figures = {"rows": ROWS, "rows_per_s": rate, "whole_s": took, "peak_mb": memory, "ratio": rate / GOAL}
    place.line("user_import", f"{rate:.0f} rows/s, peak {memory:.0f} MB", f"goal {GOAL} rows/s", rate / GOAL)
    place.line("user_import_memory", f"{memory:.0f} MB", f"limit {MEMORY} MB", MEMORY / memory)
    return figures
