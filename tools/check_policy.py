#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The rules of the tree that a compiler does not check: who may include whom, banned includes, sizes, licence line, format.

    tools/check_policy.py        # exit 1 and one line per breach: file:line: rule
"""
import pathlib
import re
import shutil
import subprocess
import sys

# layer -> layers it may include (docs/architecture.md has the same table)
LAYERS = {
    "base": [],
    "comm": ["base"],
    "tensor": ["base", "comm"],
    "nn": ["base", "comm", "tensor"],
    "optim": ["base", "comm", "tensor", "nn"],
    "parallel": ["base", "comm", "tensor", "nn", "optim"],
    "models": ["base", "comm", "tensor", "nn"],
    "data": ["base", "comm", "tensor", "models"],
    "checkpoint": ["base", "comm", "tensor", "nn", "optim", "models"],
    "train": ["base", "comm", "tensor", "nn", "optim", "parallel", "models", "data", "checkpoint"],
    "cli": ["base", "comm", "tensor", "nn", "optim", "parallel", "models", "data", "checkpoint", "train"],
}
MAX_LINES = {".cpp": 400, ".h": 300}
BANNED = [
    (re.compile(r'#include\s+[<"]torch/torch\.h'), "torch/torch.h costs 14 to 20 s per file: include what is used"),
    (re.compile(r'#include\s+[<"]Python\.h'), "no Python in the process"),
    (re.compile(r"\bgetDefaultCPUGenerator\b|\bmanual_seed\b"), "the default generator is shared by all threads: use tensor/random.h"),
]
CLANG_FORMAT = "14"  # versions differ in details; this one is Debian 12's
C10D = re.compile(r'#include\s+[<"](torch/csrc/distributed|gloo/)')
TENSOR_MODE = re.compile(r'\b(one_d|two_d|two_and_half_d|three_d)\b|"(1d|1d-sequence|2d|2\.5d|3d)"')
INCLUDE = re.compile(r'#include\s+"colossal/([a-z_]+)/')


def check(path, text):
    parts = path.parts
    layer = parts[1] if parts[0] == "colossal" else None
    lines = text.splitlines()
    if not lines or "SPDX-License-Identifier: Apache-2.0" not in "".join(lines[:2]):
        yield 1, "the first line must be the SPDX licence line"
    if len(lines) > MAX_LINES[path.suffix]:
        yield len(lines), f"{len(lines)} lines, at most {MAX_LINES[path.suffix]}: split it"
    for number, line in enumerate(lines, 1):
        for pattern, why in BANNED:
            if pattern.search(line) and parts[0] in ("colossal", "examples"):
                yield number, why
        if C10D.search(line) and layer != "comm" and not path.match("bench/*_vs_c10d.cpp"):
            yield number, "c10d and gloo headers belong to colossal/comm (and to what is measured against c10d)"
        if layer in ("optim", "checkpoint", "train") and TENSOR_MODE.search(line):
            yield number, f"{layer} works by layouts and names no mode of tensor parallelism: that belongs to parallel/tensor"
        found = INCLUDE.search(line)
        if layer and found and found[1] != layer and found[1] not in LAYERS[layer]:
            yield number, f"{layer} may not include {found[1]} (allowed: {', '.join(LAYERS[layer]) or 'nothing'})"
        if layer == "parallel" and len(parts) > 3:
            sibling = re.search(r'#include\s+"colossal/parallel/([a-z0-9_]+)/', line)
            if sibling and sibling[1] != parts[2]:
                yield number, f"parallel/{parts[2]} may not include its sibling {sibling[1]}"


def unformatted(root, names):
    """The files that `make format` would change, and why nothing was looked at."""
    if not shutil.which("clang-format"):
        return [], "clang-format is not installed"
    version = subprocess.run(["clang-format", "--version"], text=True, capture_output=True, check=True).stdout
    if f"version {CLANG_FORMAT}." not in version:
        return [], f"{version.strip()}, not {CLANG_FORMAT}"
    found = subprocess.run(["clang-format", "--dry-run", *names], cwd=root, text=True, capture_output=True, check=True).stderr
    return sorted(set(re.findall(r"^(.+?):\d+:\d+: warning: code should be clang-formatted", found, re.MULTILINE))), None


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.h", "*.cpp"], cwd=root, text=True,
                           capture_output=True, check=True).stdout.split()
    names = [name for name in names if (root / name).exists()]
    breaches = 0
    for name in names:
        path = pathlib.Path(name)
        for line, rule in check(path, (root / path).read_text(errors="replace")):
            print(f"{name}:{line}: {rule}")
            breaches += 1
    changed, skipped = unformatted(root, names)
    if skipped:
        print(f"policy: format not checked: {skipped}")
    for name in changed:
        print(f"{name}:1: not as clang-format writes it: make format")
    breaches += len(changed)
    print(f"policy: {len(names)} files, {breaches} breaches")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
