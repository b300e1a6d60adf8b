#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whole training steps of `colossal train` against a PyTorch program on the same cores, taking turns.

    bench/training.py [--workloads w1,w2,w3] [--dtypes fp32,bf16] [--layouts 1x2,2x1] [--rounds 3]

A layout is ranks x threads of each; 4x1/1d shares the model among the ranks by that tensor mode, against PyTorch's DTensor. One JSON
line per run goes to --out (runs/training.jsonl), a table of medians to standard output.
The PyTorch side is any program that takes `WORKLOAD --dtype fp32|bf16 --mode eager|ddp|tp --steps N --warmup N`, builds
the model of bench/workloads/WORKLOAD.toml and prints `RESULT {"tok_s": .., "step_s": .., "rss_mib": [..], "first_step_s": ..}`.
"""
import argparse
import collections
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def busy_seconds():
    """CPU seconds that all processes of this machine have used so far."""
    fields = [int(x) for x in open("/proc/stat").readline().split()[1:]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def timed(command, env):
    """Output, seconds, most memory of one process (MiB), CPU seconds of others meanwhile."""
    busy, start = busy_seconds(), time.time()
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.time() - start
    if process.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\nended with {process.returncode}:\n{output[-2000:]}")
    others = busy_seconds() - busy - usage.ru_utime - usage.ru_stime
    return output, seconds, usage.ru_maxrss / 1024, max(0.0, others / seconds)


def colossal(args, workload, dtype, ranks, threads, mode):
    with tempfile.TemporaryDirectory() as folder:
        command = [args.colossal, "train", ROOT / f"bench/workloads/{workload}.toml", "-n", str(ranks)]
        for setting in (f"run.output={folder}", f"run.threads={threads}", f"train.precision={dtype}",
                        f"train.steps={args.warmup + args.steps}"):
            command += ["--set", setting]
        if mode:
            command += ["--set", f"parallel.tensor.mode={mode}", "--set", f"parallel.tensor.size={ranks}"]
        _, _, memory, others = timed(command, dict(os.environ))
        steps = [json.loads(line) for line in open(f"{folder}/metrics.jsonl")]
    seconds = [s["step_seconds"] for s in steps if "step_seconds" in s][args.warmup:]
    tokens = steps[-1]["tokens_per_second"] * steps[-1]["step_seconds"]
    return {"tok_s": tokens / statistics.median(seconds), "step_s": statistics.median(seconds), "least_s": min(seconds),
            "most_s": max(seconds), "memory_mib": memory, "others": others}


def pytorch(args, workload, dtype, ranks, threads, mode):
    launcher = [args.python] if ranks == 1 else [pathlib.Path(args.python).parent / "torchrun", "--nproc-per-node", str(ranks)]
    command = launcher + [args.peer, workload, "--dtype", dtype, "--mode",
                          "tp" if mode else "eager" if ranks == 1 else "ddp",
                          "--steps", str(args.steps), "--warmup", str(args.warmup)]
    output, _, memory, others = timed(command, dict(os.environ, OMP_NUM_THREADS=str(threads)))
    line = next(line for line in output.splitlines() if "RESULT " in line)
    r = json.loads(line[line.index("RESULT ") + 7:])
    return {"tok_s": r["tok_s"], "step_s": r["step_s"], "least_s": r["step_min"], "most_s": r["step_max"],
            "memory_mib": max(memory, *r["rss_mib"]), "others": others}


def table(results):
    """Medians over rounds; in brackets the ratio of our slowest step to their fastest and of our fastest to their slowest."""
    print("| workload | dtype | ranks × threads | tokens/s | PyTorch | ratio (least, most) | MiB per rank | PyTorch | ratio |")
    print("|---|---|---|---|---|---|---|---|---|")
    for (workload, dtype, layout), pairs in results.items():
        ours, theirs = zip(*pairs)
        middle = lambda runs, key: statistics.median(r[key] for r in runs)
        ratio = statistics.median(a["tok_s"] / b["tok_s"] for a, b in pairs)
        least = min(b["least_s"] for b in theirs) / max(a["most_s"] for a in ours)
        most = max(b["most_s"] for b in theirs) / min(a["least_s"] for a in ours)
        print(f"| {workload} | {dtype} | {layout.replace('x', ' × ')} | {middle(ours, 'tok_s'):.0f} | {middle(theirs, 'tok_s'):.0f} |"
              f" **{ratio:.2f}** ({least:.2f}, {most:.2f}) | {middle(ours, 'memory_mib'):.0f} | {middle(theirs, 'memory_mib'):.0f} |"
              f" {middle(ours, 'memory_mib') / middle(theirs, 'memory_mib'):.2f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", default="w1,w2,w3")
    parser.add_argument("--dtypes", default="fp32,bf16")
    parser.add_argument("--layouts", default="1x2,2x1")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "runs/training.jsonl")
    parser.add_argument("--table", metavar="FILE", help="run nothing, print the table of a file that --out wrote")
    parser.add_argument("--colossal", default=ROOT / "build/colossal")
    parser.add_argument("--python", default=ROOT / ".venv/bin/python")
    parser.add_argument("--peer", default=ROOT.parent / "shared/peers/train.py", help="the PyTorch program")
    args = parser.parse_args()
    results = collections.defaultdict(list)
    if args.table:
        runs = [json.loads(line) for line in open(args.table, encoding="utf8")]
        for ours, theirs in zip(runs[::2], runs[1::2]):
            results[ours["workload"], ours["dtype"], f"{ours['ranks']}x{ours['threads']}" + ("/" + ours["mode"] if ours.get("mode") else "")].append((ours, theirs))
        return table(results)
    args.out.parent.mkdir(exist_ok=True)
    with args.out.open("a", encoding="utf8") as out:
        for number in range(args.rounds):
            for workload in args.workloads.split(","):
                for dtype in args.dtypes.split(","):
                    for layout in args.layouts.split(","):
                        shape, _, mode = layout.partition("/")
                        ranks, threads = map(int, shape.split("x"))
                        pair = [side(args, workload, dtype, ranks, threads, mode) for side in (colossal, pytorch)]
                        results[workload, dtype, layout].append(pair)
                        for who, run in zip(("colossal", "pytorch"), pair):
                            out.write(json.dumps({"side": who, "workload": workload, "dtype": dtype, "ranks": ranks,
                                                  "threads": threads, "mode": mode, "round": number, **run}) + "\n")
                        out.flush()
                        print(f"{number} {workload} {dtype} {layout}: {pair[0]['tok_s']:.0f} against {pair[1]['tok_s']:.0f} tokens/s, "
                              f"{pair[0]['memory_mib']:.0f} against {pair[1]['memory_mib']:.0f} MiB", file=sys.stderr)
    table(results)


if __name__ == "__main__":
    main()
