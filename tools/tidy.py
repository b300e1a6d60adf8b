#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""clang-tidy with the checks of .clang-tidy; exit 1 when one of them objects.

    tools/tidy.py                        # everything
    tools/tidy.py colossal/comm bench    # what lies below these paths
    tools/tidy.py --build build-debug -j 4 colossal/base/text.cpp

Each unit of a unity build is read once for all of its files: parsing torch's headers costs more than the checks.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What GCC knows and clang does not, or what is of no use to a reader of sources.
DROPPED = {"-Winvalid-pch", "-Werror", "-fopenmp"}  # clang has no omp.h


def clang_arguments(command):
    """The compile command of GCC as clang can read it: the precompiled header becomes the header that it was made of."""
    arguments = shlex.split(command)
    while "ccache" in os.path.basename(arguments[0]) or not os.path.basename(arguments[0]).endswith(("c++", "g++")):
        arguments.pop(0)
    result = [a for a in arguments if a not in DROPPED]
    for i, argument in enumerate(result):
        if argument.endswith("cmake_pch.hxx"):
            kind = re.search(r"colossal_pch_(\w+)\.dir", argument)[1]
            result[i] = str(ROOT / f"cmake/pch_{kind}.h")
    return result + ["-Wno-unknown-warning-option", "-Wno-unknown-pragmas"]


def sources_of(unit):
    """The files of the repository that a unit compiles: itself, or what a unity source includes."""
    if "Unity" not in unit.parts:
        return [unit]
    return [pathlib.Path(p) for p in re.findall(r'^#include "(.*)"$', unit.read_text(), re.MULTILINE)]


def chosen_units(build, paths):
    """(arguments, file to read) per unit; of a unity unit only the wanted sources are read, one by one unless all are wanted."""
    for entry in json.loads((build / "compile_commands.json").read_text()):
        unit = pathlib.Path(entry["file"])
        if unit.name.startswith(("pch_", "cmake_pch")):
            continue
        sources = sources_of(unit)
        wanted = [s for s in sources if not paths or any(s == p or p in s.parents for p in paths)]
        for file in [unit] if wanted == sources else wanted:
            arguments = [str(file) if a == entry["file"] else a for a in clang_arguments(entry["command"])]
            yield {"directory": entry["directory"], "file": str(file), "arguments": arguments}


def tidy(database, file):
    result = subprocess.run(["clang-tidy", "-p", str(database), "--quiet", file], cwd=ROOT, text=True, capture_output=True)
    return file, result.returncode, result.stdout, result.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=pathlib.Path)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("-j", type=int, default=os.cpu_count())
    options = parser.parse_args()
    if not shutil.which("clang-tidy"):
        sys.exit("tidy: clang-tidy is not installed. On Debian: apt-get install clang-tidy")
    units = list(chosen_units(options.build, [p.resolve() for p in options.paths]))
    if not units:
        sys.exit(f"tidy: nothing below {', '.join(map(str, options.paths))} is compiled in {options.build}")
    database = options.build / "tidy"
    database.mkdir(exist_ok=True)
    (database / "compile_commands.json").write_text(json.dumps(units))
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(options.j) as pool:
        for file, status, out, err in pool.map(lambda u: tidy(database, u["file"]), units):
            failed += status != 0
            # a defect in a header is found by every unit that includes it
            print(f"{os.path.relpath(file, ROOT)}: {'good' if status == 0 else 'see below'}", out, sep="\n" if out else "", flush=True)
            if status != 0 and not out:
                print(err)
    print(f"tidy: {len(units)} units, {failed} with defects")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
