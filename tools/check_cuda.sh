#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Compiles and links everything against a CUDA wheel with the NCCL backend. Runs nothing: no GPU is needed.
# With --if-possible it says so in one line and leaves when nvcc or 20 GB of disk are missing.
set -eu
cd "$(dirname "$0")/.."

why_not=""
command -v nvcc >/dev/null 2>&1 || why_not="nvcc is not installed"
free_gb=$(df -Pk . | awk 'NR == 2 {print int($4 / 1048576)}')
[ "$free_gb" -ge 20 ] || [ -d .venv-cuda ] || why_not="${why_not:-only $free_gb GB of disk are free, 20 are needed}"
if [ -n "$why_not" ]; then
  echo "check-cuda: skipped, $why_not"
  [ "${1:-}" = --if-possible ] && exit 0
  exit 1
fi
tools/setup.sh cuda
cmake -S . -B build-cuda -G Ninja --log-level=WARNING -DCOLOSSAL_CUDA=ON
cmake --build build-cuda -j "$(nproc)"
echo "check-cuda: everything compiles and links against CUDA and NCCL"
