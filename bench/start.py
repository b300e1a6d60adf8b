#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Seconds from a command's start to the end of its first training step, by the clock that stands in metrics.jsonl.

    bench/start.py [PROGRAM = build/colossal] [RUN_FILE = configs/quickstart.toml] [-n 2] [--repeats 7]

"first": an empty cache of tokens and of matrix products, as on a new machine; "again": both are there, as for every later run.
Sides take turns; JSON lines.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time


def seconds_to_first_step(command, folder, cache):
    run = folder / "run"
    start = time.time()
    subprocess.run(command + ["--set", f"run.output={run}"], check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, "COLOSSAL_CACHE_DIR": str(cache)})
    first = json.loads((run / "metrics.jsonl").read_text().splitlines()[0])
    return first["time"] - start, first["step_seconds"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", nargs="?", default="build/colossal")
    parser.add_argument("run_file", nargs="?", default="configs/quickstart.toml")
    parser.add_argument("-n", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    short = ["train.steps=2", "train.evaluate_every=0", "train.sample_every=0", "checkpoint.every=0",
             "checkpoint.save_at_end=false", "schedule.warmup_steps=0"]
    command = [args.program, "train", args.run_file, "-n", str(args.n)]
    for key in short:
        command += ["--set", key]
    samples = {"first": [], "again": []}
    folder = pathlib.Path(tempfile.mkdtemp(prefix="bench-start-"))
    try:
        for _ in range(args.repeats):
            shutil.rmtree(folder)
            folder.mkdir()
            for side in samples:
                samples[side].append(seconds_to_first_step(command, folder, folder / "cache"))
    finally:
        shutil.rmtree(folder)
    for side, pairs in samples.items():
        total, step = (sorted(column) for column in zip(*pairs))
        print(json.dumps({"benchmark": "start", "side": side, "ranks": args.n,
                          "seconds": {"median": total[len(total) // 2], "min": total[0], "max": total[-1]},
                          "first_step_seconds": {"median": step[len(step) // 2], "min": step[0], "max": step[-1]}}))


if __name__ == "__main__":
    main()
