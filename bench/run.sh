#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# bench/run.sh [times | programs | all]: what docs/performance.md quotes, as JSON lines on standard output.
#   times     clean build (no compiler cache), rebuild after touching one .cpp, the fast tests
#   programs  every program under bench/ with its default sizes
set -eu
cd "$(dirname "$0")/.."
what=${1:-all}
jobs=$(nproc)

now() { date +%s.%N; }
report() { awk -v name="$1" -v a="$2" -v b="$3" 'BEGIN {printf "{\"measure\": \"%s\", \"seconds\": %.1f}\n", name, b - a}'; }

if [ "$what" != programs ]; then
  folder=build/timing
  rm -rf "$folder"
  export CCACHE_DISABLE=1
  start=$(now)
  cmake -S . -B "$folder" -G Ninja --log-level=WARNING >/dev/null
  cmake --build "$folder" -j "$jobs" >/dev/null
  report "clean build" "$start" "$(now)"
  touch colossal/train/trainer.cpp
  start=$(now)
  cmake --build "$folder" -j "$jobs" >/dev/null
  report "rebuild after touching colossal/train/trainer.cpp" "$start" "$(now)"
  start=$(now)
  ctest --test-dir "$folder" -L fast -j $((jobs + 1)) --output-on-failure >/dev/null
  report "fast tests" "$start" "$(now)"
fi
if [ "$what" != times ]; then
  build/bench/bench_optimizer
  build/bench/bench_random
  build/bench/bench_checkpoint
  build/bench/bench_loader
  for n in 1 4 8; do
    build/bench/bench_tensor_modes "$n"
  done
  build/bench/bench_tensor_modes --plan
  # In every mode 88% of the test images, and a masked loss below 60% of its start.
  [ ! -d /usr/share/datasets/fashion-mnist ] ||
    bench/every_mode.py configs/vit-fashion-mnist.toml --least-accuracy 0.88
  [ ! -s runs/data/bible.txt ] ||   # the text of `make quickstart`
    bench/every_mode.py configs/bert-text.toml --set train.steps=240 --most-loss 0.6
  if [ -f ../shared/peers/train.py ]; then
    bench/training.py --out /dev/stdout
    bench/training.py --dtypes fp32 --layouts 2x1/1d,4x1/1d --out /dev/stdout   # against DTensor
  fi
  [ ! -s runs/data/bible.txt ] || bench/start.py
  for n in 2 4; do
    build/bench/bench_gloo_vs_c10d "$n"
    [ ! -x build/bench/bench_local_vs_mpi ] ||
      mpirun --allow-run-as-root --oversubscribe -n "$n" build/bench/bench_local_vs_mpi
  done
fi
