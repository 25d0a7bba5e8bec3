#!/usr/bin/env bash
# Runs every checker, shows what each has to say, and fails at the end if any of them did.
set -uo pipefail
cd "$(dirname "$0")/../.."
export PATH="$PWD/.venv/bin:$PATH"
failed=()

check() {
  local name=$1
  shift
  printf '── %s\n' "$name"
  "$@" || failed+=("$name")
}

# It also warns of a `nosec` on a line whose call it has already passed over for it.
security() {
  bandit --configfile pyproject.toml --recursive --quiet evaluator leaderboard methods deploy \
    2> >(grep -v 'nosec encountered' >&2)
}

mapfile -t templates < <(git ls-files --cached --others --exclude-standard 'templates/*.html' 'leaderboard/*.html')
check "ruff check" ruff check .
check "bandit" security
check "ruff format" ruff format --check --quiet .
check "mypy" mypy evaluator leaderboard methods tests deploy manage.py
check "layers" lint-imports --no-cache --no-logo
check "oxlint" oxlint --deny-warnings leaderboard/static/palimpsest
if ((${#templates[@]})); then
  check "djade" djade --target-version 5.2 --check "${templates[@]}"
  check "djlint" djlint --lint --quiet "${templates[@]}"
fi

if ((${#failed[@]})); then
  printf '\nlint: failed: %s\n' "$(IFS=,; echo "${failed[*]}")"
  exit 1
fi
printf '\nlint: all clean\n'
