"""`python bench/run.py [NAME …]`: runs benchmarks and writes their figures as JSON (script/bench sets the servers up)."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAMES = [
    "text_match",
    "library_swap",
    "intake",
    "end_to_end",
    "claim",
    "registration",
    "lookup",
    "user_page",
    "user_import",
    "rotation",
    "backtest",
    "image_lookup",
    "image_quality",
    "quality",
    "mediabox_fuzz",
]


def main() -> None:
    """Each benchmark in a process of its own, so that none warms or burdens the next."""
    sys.path[:0] = [str(ROOT), str(ROOT / "platform")]
    if len(sys.argv) == 3 and sys.argv[1] == "--one":
        figures = importlib.import_module(f"bench.{sys.argv[2]}").main()
        print("FIGURES " + json.dumps(figures))
        return
    target = Path(os.environ.get("MINGJIAN_DATA", ROOT / "var" / "bench")).parent / "bench.json"
    told: dict[str, object] = json.loads(target.read_text()) if target.exists() else {}
    for name in sys.argv[1:] or NAMES:
        done = subprocess.run(
            [sys.executable, __file__, "--one", name], stdout=subprocess.PIPE, text=True, cwd=ROOT, check=False
        )
        for printed in done.stdout.splitlines():
            if printed.startswith("FIGURES "):
                told[name] = json.loads(printed[8:])
            else:
                print(printed, flush=True)
        if done.returncode:
            print(f"{name}  failed (exit {done.returncode})", flush=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(told, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
