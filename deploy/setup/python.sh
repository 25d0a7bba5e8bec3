#!/usr/bin/env bash
# Prints the path of a Python that can make our virtual environment: 3.11 or newer, with venv and ensurepip.
#
# 3.11 comes first because the versions in constraints.txt were resolved for it. PYTHON=/path overrides the search.
set -euo pipefail

suits() {
  "$1" - <<'PY' 2>/dev/null
import sys
if not (3, 11) <= sys.version_info[:2] < (3, 14):
    sys.exit(1)
import ensurepip, ssl, sqlite3, venv  # each is a package of its own on some systems
print(sys.executable)
PY
}

if [[ -n ${PYTHON:-} ]]; then
  suits "$PYTHON" && exit 0
  echo "PYTHON=$PYTHON is not a Python 3.11, 3.12 or 3.13 with venv; name another one or leave PYTHON unset" >&2
  exit 1
fi

shopt -s nullglob
for candidate in python3.11 /usr/bin/python3.11 "$HOME"/.pyenv/versions/3.11*/bin/python3 python3 /usr/bin/python3 \
  python3.12 "$HOME"/.pyenv/versions/3.12*/bin/python3 python3.13 "$HOME"/.pyenv/versions/3.13*/bin/python3; do
  command -v "$candidate" >/dev/null || continue
  suits "$candidate" && exit 0
done
echo "no Python 3.11, 3.12 or 3.13 with venv was found; install python3 and python3-venv, or set PYTHON=/path/to/python" >&2
exit 1
