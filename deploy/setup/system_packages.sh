#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages that the named groups need, if any is missing; fast when all are there.
#
#   system_packages.sh [python] [container] [browser]
#
# Exit 0: everything is there. Exit 1: something is missing and could not be installed; the message says what and how.
set -euo pipefail

declare -A COMMANDS=(
  [container]="podman runc skopeo"
  [browser]="chromium"
)
declare -A PACKAGES=(
  # The reference image is assembled from this machine's own Debian packages, hence the Python and its libraries here.
  [container]="podman runc skopeo python3 libgomp1 libstdc++6 ca-certificates"
  [browser]="chromium fonts-dejavu-core"
  [python]="python3 python3-venv"
)

missing_in() {
  local group=$1 found=""
  if [[ $group == python ]]; then
    "$(dirname "$0")/python.sh" >/dev/null 2>&1 || echo "python>=3.11-with-venv"
    return
  fi
  for name in ${COMMANDS[$group]}; do
    # runc lies in /usr/sbin, which is not on every user's path.
    PATH="$PATH:/usr/sbin:/sbin" command -v "$name" >/dev/null || found+=" $name"
  done
  echo "${found# }"
}

wanted="" missing=""
for group in "$@"; do
  [[ -v PACKAGES[$group] ]] || { echo "system_packages.sh: unknown group '$group'; known: python container browser" >&2; exit 2; }
  lacking=$(missing_in "$group")
  if [[ -n $lacking ]]; then
    wanted+=" ${PACKAGES[$group]}"
    missing+=" $lacking"
  fi
done
[[ -n $missing ]] || exit 0

explain() {
  {
    echo "Palimpsest needs these programs, which are not on this machine:$missing"
    echo "$1"
    echo "  apt-get update && apt-get install --no-install-recommends$wanted"
    echo "(or their equivalent on another system), then run the same command again."
  } >&2
  exit 1
}

command -v apt-get >/dev/null || explain "This machine has no apt-get, so they cannot be installed from here. On Debian or Ubuntu it would be:"
as_root=()
if [[ $(id -u) != 0 ]]; then
  # -n: never stop and ask for a password half-way through.
  if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=(sudo -n env DEBIAN_FRONTEND=noninteractive)
  else
    explain "Installing them needs root, and sudo without a password is not available. Ask an administrator to run:"
  fi
fi

echo "Installing system packages:$wanted"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086  # a list of names is meant
if ! { "${as_root[@]}" apt-get update -qq && "${as_root[@]}" apt-get install -y -qq --no-install-recommends $wanted; } >"$log" 2>&1 </dev/null; then
  tail -n 20 "$log" >&2
  explain "apt-get could not install them (its last lines are above). Try by hand:"
fi

for group in "$@"; do
  lacking=$(missing_in "$group")
  if [[ $group == browser && -n $lacking ]]; then
    explain "On Ubuntu, chromium comes as a snap; install it with 'snap install chromium'. On Debian:"
  fi
  [[ -z $lacking ]] || { missing=" $lacking"; explain "apt-get ran, yet they are still missing. Try by hand:"; }
done
