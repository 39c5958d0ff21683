"""Runs a supervisor for the tests, in a process of its own: it takes over signals and adopts orphans.

    python keeper.py DATA [--servers] [--nobody-owns] [--as-nobody] [--stop-limit S] [--procfile FILE]

Prints the pids as one JSON object a line at every change, then `ready`; stops on SIGTERM.
"""

import argparse
import json
import os
import pwd
import sys
from pathlib import Path

from stack import Refused, owner, program, servers
from stack.datadir import DataDir
from stack.supervisor import Stopped, Supervisor

parser = argparse.ArgumentParser()
parser.add_argument("data", type=Path)
parser.add_argument("--servers", action="store_true")
parser.add_argument("--nobody-owns", action="store_true")
parser.add_argument("--as-nobody", action="store_true")
parser.add_argument("--stop-limit", type=float)
parser.add_argument("--procfile", type=Path)
options = parser.parse_args()

if options.as_nobody:
    # After the imports: the interpreter itself may lie where nobody cannot reach it.
    nobody = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)
if options.nobody_owns:
    owner.find = lambda installation: owner.NobodyOwner()
if options.stop_limit:
    program.Program.stop_limit = options.stop_limit


def show(pids: dict[str, int]) -> None:
    print(json.dumps(pids), flush=True)


try:
    data = DataDir(options.data)
    data.create()
    data.lock()
    servers.end_leftovers(data)
    with Supervisor(data=data.path, log=data.log, on_change=show) as supervisor:
        try:
            if options.servers:
                servers.start(supervisor, data, servers.resolve(Path("/nowhere"), {}, data.path))
            if options.procfile:
                for each in program.from_procfile(options.procfile, environ=os.environ):
                    supervisor.start(each)
            print("ready", flush=True)
            supervisor.keep()
        except Stopped:
            print("stopped", flush=True)
except Refused as refusal:
    sys.exit(f"refused: {refusal}")
