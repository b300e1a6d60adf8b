#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains one run file without tensor parallelism and in every mode, and puts all curves on one page.

    bench/every_mode.py configs/vit-fashion-mnist.toml [--colossal build/colossal] [--out runs/modes] [--set section.key=value ...]

Prints a JSON line per run: losses (with their parts) and accuracies, and how far its curve is from that of the run without tensor
parallelism. With --least-accuracy or --most-loss exit code 1 where a mode stays behind.
"""
import argparse
import json
import pathlib
import subprocess
import sys

MODES = [("none", 1, 1), ("1d", 2, 1), ("1d-sequence", 2, 1), ("2d", 4, 1), ("2.5d", 8, 2), ("3d", 8, 1)]


def train(args, mode, size, depth):
    folder = args.out / f"{pathlib.Path(args.config).stem}-{mode}"
    changes = [f"run.output={folder}", *args.set]
    if mode != "none":
        changes += [f'parallel.tensor.mode="{mode}"', f"parallel.tensor.size={size}", f"parallel.tensor.depth={depth}"]
    command = [args.colossal, "train", args.config, "-n", str(size), "--overwrite"]
    for change in changes:
        command += ["--set", change]
    if not (args.keep and (folder / "metrics.jsonl").exists()):
        subprocess.run(command, check=True, stdout=sys.stderr)
    return folder, [json.loads(line) for line in (folder / "metrics.jsonl").open()]


def values(steps, key):
    return [step[key] for step in steps if key in step]


def shortfalls(args, steps):
    if args.least_accuracy is not None:
        found = (values(steps, "validation_accuracy") or [0.0])[-1]
        if not found >= args.least_accuracy:
            yield f"accuracy {found:.4f}, at least {args.least_accuracy} was asked for"
    if args.most_loss is not None:
        losses = values(steps, "masked_lm_loss") or values(steps, "loss")
        share = losses[-1] / losses[0]
        if not share <= args.most_loss:
            yield f"loss at {share:.2f} of its start, at most {args.most_loss} was asked for"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config")
    parser.add_argument("--colossal", default="build/colossal")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/modes"))
    parser.add_argument("--set", action="append", default=[], metavar="section.key=value")
    parser.add_argument("--least-accuracy", type=float, metavar="SHARE", help="that the last evaluation must have found")
    parser.add_argument("--most-loss", type=float, metavar="SHARE",
                        help="of the first step's loss that the last may have (of masked tokens, where there are some)")
    parser.add_argument("--keep", action="store_true", help="runs whose folder is there are read, not repeated")
    args = parser.parse_args()
    folders, dense, behind = [], [], []
    for mode, size, depth in MODES:
        folder, steps = train(args, mode, size, depth)
        folders.append(str(folder))
        losses = values(steps, "loss")
        dense = dense or losses
        row = {"benchmark": "every_mode", "config": args.config, "mode": mode, "ranks": size, "steps": len(losses),
               "first_loss": losses[0], "last_loss": losses[-1],
               "distance": [max(abs(a - b) for a, b in zip(losses[:n], dense[:n])) for n in (10, 100, len(losses))]}
        parts = [key for key in steps[0] if key.endswith("_loss") and not key.startswith("validation_")]
        row["parts"] = {key: [values(steps, key)[0], values(steps, key)[-1]] for key in parts}
        for key in sorted({key for step in steps for key in step if key.startswith("validation_")}):
            row[key] = values(steps, key)
        row["seconds"] = round(sum(values(steps, "step_seconds")), 1)
        print(json.dumps(row), flush=True)
        behind += [f"{mode}: {what}" for what in shortfalls(args, steps)]
    page = args.out / f"{pathlib.Path(args.config).stem}.html"
    subprocess.run([args.colossal, "report", *folders, "--output", str(page)], check=True, stdout=sys.stderr)
    if behind:
        sys.exit("\n".join(behind))


if __name__ == "__main__":
    main()
