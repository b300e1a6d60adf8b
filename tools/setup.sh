#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing: Debian packages (tools/debian-packages.txt) and the PyTorch wheel into .venv. Safe to run again.
#   COLOSSAL_PIP_ARGS   extra arguments for pip (an index, a proxy, --find-links ...)
#   tools/setup.sh cuda makes .venv-cuda with the CUDA wheel and its headers instead (make check-cuda)
set -eu
cd "$(dirname "$0")/.."
TORCH_VERSION=2.13.0
TORCH_CUDA_VERSION=2.11.0

say() { printf 'setup: %s\n' "$*"; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
installed() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'install ok installed'; }

missing=""
if command -v dpkg-query >/dev/null 2>&1; then
  for package in $(grep -v '^#' tools/debian-packages.txt); do
    installed "$package" || missing="$missing $package"
  done
  if [ -n "$missing" ]; then
    say "installing Debian packages:$missing"
    as_root apt-get update -q >/dev/null
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing >/dev/null
  else
    say "Debian packages: all present"
  fi
else
  say "no dpkg here: install the counterparts of tools/debian-packages.txt yourself"
fi

# wheel VENV VERSION: a virtual environment that holds just this torch
wheel() {
  venv=$1
  version=$2
  if grep -qs "'$version" "$venv"/lib/python3*/site-packages/torch/version.py; then
    say "PyTorch $version in $venv: present"
    return
  fi
  say "installing the PyTorch $version wheel into $venv (a few hundred megabytes)"
  [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
  # shellcheck disable=SC2086
  "$venv/bin/python" -m pip install -q --disable-pip-version-check ${COLOSSAL_PIP_ARGS:-} "torch==$version" numpy setuptools
}

if [ "${1:-}" = cuda ]; then
  wheel .venv-cuda "$TORCH_CUDA_VERSION"
else
  wheel .venv "$TORCH_VERSION"
fi
