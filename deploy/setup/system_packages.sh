#!/usr/bin/env bash
# Installs the Debian or Ubuntu packages that the named groups need, if any is missing; fast when all are there.
#
#   system_packages.sh [python] [container] [browser] [registry] [gvisor] [docker] [services]
#
# Exit 0: everything is there. Exit 1: something is missing and could not be installed; the message says what and how.
set -euo pipefail

# A name with a colon is a program and the package that brings it; without one it is a package only.
declare -A NEEDS=(
  # The reference image is assembled from this machine's own Debian packages, hence its Python and two data packages.
  [container]="podman:podman runc:runc skopeo:skopeo python3 netbase media-types"
  [browser]="chromium:chromium fonts-dejavu-core"
  # A registry on this machine, which tests push to and pull from.
  [registry]="docker-registry:docker-registry"
  # Production's database and broker, which tests start by hand, cut off and kill.
  [services]="postgresql redis-server:redis-server"
  # Two other backends: gVisor under podman, and docker's daemon and command.
  [gvisor]="runsc:runsc"
  [docker]="dockerd:docker.io"
)

missing_in() {
  local group=$1 need
  if [[ $group == python ]]; then
    "$(dirname "$0")/python.sh" >/dev/null 2>&1 || echo "python3 python3-venv"
    return
  fi
  local -a packages=()
  for need in ${NEEDS[$group]}; do
    if [[ $need != *:* ]]; then
      packages+=("$need")
    # runc and dockerd lie in /usr/sbin, which is not on every user's path.
    elif ! PATH="$PATH:/usr/sbin:/sbin" command -v "${need%%:*}" >/dev/null; then
      echo "${need##*:}"
    fi
  done
  # Packages can only be asked for, and only be installed from here, where there is dpkg.
  if ((${#packages[@]})) && command -v dpkg-query >/dev/null; then
    comm -23 <(printf '%s\n' "${packages[@]}" | sort) \
      <(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null | awk '$2=="installed"{print $1}' | sort)
  fi
}

# One line of words from many.
words() {
  local -a all
  read -rd '' -a all <<<"$1" || true
  echo "${all[*]}"
}

missing=""
for group in "$@"; do
  [[ $group == python || -v NEEDS[$group] ]] || {
    echo "system_packages.sh: unknown group '$group'; known: python container browser registry gvisor docker services" >&2
    exit 2
  }
  missing+=" $(missing_in "$group")"
done
missing=$(words "$missing")
[[ -n $missing ]] || exit 0

explain() {
  {
    echo "Palimpsest needs what these packages bring, and they are not on this machine: $missing"
    echo "$1"
    echo "  apt-get update && apt-get install --no-install-recommends $missing"
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

echo "Installing system packages: $missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# shellcheck disable=SC2086  # a list of names is meant
if ! { "${as_root[@]}" apt-get update -qq && "${as_root[@]}" apt-get install -y -qq --no-install-recommends $missing; } >"$log" 2>&1 </dev/null; then
  tail -n 20 "$log" >&2
  explain "apt-get could not install them (its last lines are above). Try by hand:"
fi

for group in "$@"; do
  lacking=$(words "$(missing_in "$group")")
  [[ -n $lacking ]] || continue
  missing=$lacking
  [[ $group != browser ]] || explain "On Ubuntu chromium comes as a snap: 'snap install chromium'. On Debian:"
  explain "apt-get ran, yet they are still missing. Try by hand:"
done
