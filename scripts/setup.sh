#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# In: a bare Debian or Ubuntu and the extras to install ("render" or "render,dev,omni").
# Out: .venv with everything in it. System libraries are installed when we are root; otherwise the
# exact line to run is printed and we stop.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
extras="${1:-render}"

find_python() {
  local name
  for name in "${PYTHON:-}" python3.11 python3.13 python3; do
    [ -n "$name" ] && command -v "$name" >/dev/null || continue
    # Blender's wheels exist for these two Pythons.
    if "$name" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 13)))'; then
      echo "$name"; return
    fi
  done
}

has_library() { ldconfig -p 2>/dev/null | grep -q "$1"; }

python="$(find_python)"
packages=()
if [ -z "$python" ]; then
  packages+=(python3.11 python3.11-venv)
elif ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  packages+=("python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv")
fi
while read -r library package; do
  has_library "$library" || packages+=("$package")
done <<'LIBRARIES'
libX11.so.6 libx11-6
libXrender.so.1 libxrender1
libXfixes.so.3 libxfixes3
libXi.so.6 libxi6
libxkbcommon.so.0 libxkbcommon0
libSM.so.6 libsm6
libGL.so.1 libgl1
libEGL.so.1 libegl1
LIBRARIES

# The tests of a study's page drive a browser; without one they are skipped. (Ubuntu has none to
# install this way.)
if [[ ",$extras," == *,dev,* ]] && ! command -v chromium >/dev/null && [ "$(id -u)" -eq 0 ] &&
  grep -qs '^ID=debian' /etc/os-release; then
  packages+=(chromium)
fi

if [ "${#packages[@]}" -gt 0 ]; then
  line="apt-get update && apt-get install -y --no-install-recommends ${packages[*]}"
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "Some system packages are missing. Run this line as root, then run this command again:" >&2
    echo "  $line" >&2
    exit 3
  fi
  echo "Installing system packages: ${packages[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -q update >/dev/null
  apt-get -q install -y --no-install-recommends "${packages[@]}" >/dev/null
  python="$(find_python)"
fi

# A stamp of what is installed saves the slow part next time; "render,dev,omni" also serves "render".
version="$(cat pyproject.toml requirements/*.txt | sha256sum | cut -c1-16)"
installed="$(cat .venv/installed 2>/dev/null || true)"
if [[ "$installed" != "$version-"*"$extras"* ]]; then
  echo "Installing Python packages into .venv (Blender is among them, so this takes some minutes)"
  [ -x .venv/bin/python ] || "$python" -m venv .venv
  PIP_QUIET=1 .venv/bin/python requirements/install.py "$extras"
  echo "$version-$extras" > .venv/installed
fi
