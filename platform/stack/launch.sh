#!/bin/sh
# Finds a Python that is new enough and hands over to the stack: launch.sh server|test|bench [arguments].
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd) || exit 1
for python in "$root/.venv/bin/python" "${PYTHON:-python3}" python3 python3.13 python3.12 python3.11 python; do
    if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
        PYTHONPATH="$root/platform${PYTHONPATH:+:$PYTHONPATH}"
        export PYTHONPATH
        # -P: the folder this was called from is not a place to import from.
        exec "$python" -P -m stack "$root" "$@"
    fi
done
echo "mingjian: Python 3.11 or newer is needed and none was found on PATH (python3, python3.11, python3.12, python3.13)." >&2
exit 1
