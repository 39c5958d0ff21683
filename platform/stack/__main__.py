"""The one-command scripts: `python -P -m stack ROOT server|test|bench …`, started by launch.sh."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from stack import Refused, preparation

RUN = ["requirements.txt"]
DEVELOP = ["requirements.txt", "requirements-dev.txt"]


def main(arguments: list[str]) -> int:
    """Prepare the virtualenv, go on inside it, run the command; its exit code."""
    root, command, *rest = arguments
    home = Path(root)
    try:
        chosen = server_options(home, rest) if command == "server" else None
        preparation.prepare(home, RUN if command == "server" else DEVELOP)
        if not preparation.is_inside(home):
            python = preparation.interpreter(home)
            os.execv(python, [str(python), "-P", "-m", "stack", root, command, *rest])
        # Only now: these import what the requirements brought.
        from stack import server, trial

        if chosen is not None:
            return server.serve(home, port=chosen.port, data_path=chosen.data, demo=not chosen.no_demo)
        return trial.test(home, rest) if command == "test" else trial.bench(home, rest)
    except Refused as refusal:
        print(f"mingjian: {refusal}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        return 130


def server_options(root: Path, arguments: list[str]) -> argparse.Namespace:
    """The options of script/server."""
    from stack import addresses

    parser = argparse.ArgumentParser(prog="script/server", description="Starts Mingjian, with its servers and a demo.")
    parser.add_argument("--port", type=int, default=8000, help="port on 127.0.0.1 (8000; 0 takes any free one)")
    parser.add_argument(
        "--data", type=lambda text: Path(os.path.abspath(text)), default=addresses.data_dir(root, os.environ),
        help="directory for databases, logs and secrets (var)",
    )  # fmt: skip
    parser.add_argument("--no-demo", action="store_true", help="without the invented provider and its accounts")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
