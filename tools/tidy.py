#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""clang-tidy with the checks of .clang-tidy. The last line counts; exit 1 when a check objects.

    tools/tidy.py                        # everything
    tools/tidy.py colossal/comm bench    # what lies below these paths
    tools/tidy.py --build build-debug -j 4 colossal/base/text.cpp

The files of a folder are read as one unit: torch's headers cost more than the checks of all of them.
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
DROPPED = {"-Winvalid-pch", "-Werror", "-fopenmp", "-fno-reorder-blocks-and-partition"}  # clang has no omp.h
ADDED = ["-Wno-unknown-warning-option", "-Wno-unknown-pragmas", "-Wno-ignored-attributes", "-Wno-unused-command-line-argument",
         "-Wno-ignored-optimization-argument",
         "-D__builtin_cpu_supports(level)=true"]  # clang 14 does not know "x86-64-v4"
# Of tests: sizes are small, and clang 14 cannot do what CAPTURE does with a name of a structured binding.
TEST_CHECKS = "--checks=-bugprone-implicit-widening-of-multiplication-result"
TEST_PREFIX = "#include <doctest/doctest.h>\n#undef CAPTURE\n#define CAPTURE(value) static_cast<void>(value)\n"


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
    return result + ADDED


def sources_of(unit):
    """The files of the repository that a unit compiles: itself, or what a unity source includes."""
    if "Unity" not in unit.parts:
        return [unit]
    return [pathlib.Path(p) for p in re.findall(r'^#include "(.*)"$', unit.read_text(), re.MULTILINE)]


def chosen_units(build, database, paths):
    """(arguments, file to read) per unit: the wanted sources of all unity sources of a target, or a file that stands alone."""
    units = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        unit = pathlib.Path(entry["file"])
        if unit.name.startswith(("pch_", "cmake_pch")):
            continue
        file = database / f"{unit.parts[-3].removesuffix('.dir')}.cpp" if "Unity" in unit.parts else unit
        wanted = [s for s in sources_of(unit) if not paths or any(s == p or p in s.parents for p in paths)]
        if wanted:
            arguments = [str(file) if a == entry["file"] else a for a in clang_arguments(entry["command"])]
            units.setdefault(file, (entry["directory"], arguments, []))[2].extend(wanted)
    for file, (directory, arguments, wanted) in sorted(units.items()):
        if wanted != [file]:
            includes = "".join(f'#include "{source}"\n' for source in sorted(wanted))
            file.write_text((TEST_PREFIX if file.stem.startswith("test_") else "") + includes)
        yield {"directory": directory, "file": str(file), "arguments": arguments}


def tidy(database, file):
    checks = [TEST_CHECKS] if pathlib.Path(file).stem.startswith("test_") else []
    command = ["clang-tidy", "-p", str(database), "--quiet", *checks, file]
    result = subprocess.run(command, cwd=ROOT, text=True, capture_output=True)
    return file, result.returncode, result.stdout, result.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=pathlib.Path)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("-j", type=int, default=os.cpu_count())
    options = parser.parse_args()
    if not shutil.which("clang-tidy"):
        sys.exit("tidy: clang-tidy is not installed. On Debian: apt-get install clang-tidy")
    database = options.build.resolve() / "tidy"
    database.mkdir(exist_ok=True)
    units = list(chosen_units(options.build, database, [p.resolve() for p in options.paths]))
    if not units:
        sys.exit(f"tidy: nothing below {', '.join(map(str, options.paths))} is compiled in {options.build}")
    (database / "compile_commands.json").write_text(json.dumps(units))
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(options.j) as pool:
        for done in concurrent.futures.as_completed([pool.submit(tidy, database, unit["file"]) for unit in units]):
            file, status, out, err = done.result()
            failed += status != 0
            # a defect in a header is found by every unit that includes it
            print(f"{os.path.relpath(file, ROOT)}: {'good' if status == 0 else 'see below'}", out, sep="\n" if out else "", flush=True)
            if status != 0 and not out:
                print(err)
    print(f"tidy: {len(units)} units, " + (f"{failed} with findings" if failed else "no findings"))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
