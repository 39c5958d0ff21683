#!/usr/bin/env python3
"""Mingjian's command line: `python manage.py help`."""

import importlib.util
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.path[:0] = [str(ROOT), str(ROOT / "platform")]


def main() -> None:
    """Run one command, with the secrets of the data directory where the environment has none."""
    python = ROOT / ".venv" / "bin" / "python"
    if importlib.util.find_spec("django") is None and python.exists() and Path(sys.prefix) != ROOT / ".venv":
        os.execv(python, [str(python), *sys.argv])  # noqa: S606

    from stack import addresses, keys

    keys.load(addresses.data_dir(ROOT, os.environ), os.environ)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
