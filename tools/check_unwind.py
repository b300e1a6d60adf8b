#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whether exceptions can leave every function of a program: each function's unwind entry must be in the table that is searched at run time.

    tools/check_unwind.py build/colossal        # exit 1 and one line per function that lost its entry

GCC may leave the cold part of a function empty; lld then keeps the entry of that nothing in place of the function that follows it, and an
exception that passes there ends the program with "Aborted".
"""
import re
import struct
import subprocess
import sys


def sections(path):
    text = subprocess.run(["readelf", "-SW", path], text=True, capture_output=True, check=True).stdout
    found = re.findall(r"\] (\S+)\s+\S+\s+([0-9a-f]+) ([0-9a-f]+) ([0-9a-f]+)", text)
    return {name: tuple(int(n, 16) for n in numbers) for name, *numbers in found}


def searched(data, address, offset):
    """Address of a function's unwind entry by that of the function, from .eh_frame_hdr."""
    count = struct.unpack_from("<I", data, offset + 8)[0]
    pairs = struct.iter_unpack("<ii", data[offset + 12:offset + 12 + 8 * count])
    return {address + function: address + entry for function, entry in pairs}


def entries(data, address, offset, size):
    """(address of the entry, of its function, bytes of the function) for all of .eh_frame."""
    at = 0
    while at < size:
        length, kind = struct.unpack_from("<II", data, offset + at)
        if length == 0:
            break
        if kind != 0:  # not what several entries have in common
            start, span = struct.unpack_from("<iI", data, offset + at + 8)
            yield address + at, address + at + 8 + start, span
        at += 4 + length


def main():
    path = sys.argv[1]
    found = sections(path)
    data = open(path, "rb").read()
    table = searched(data, *found[".eh_frame_hdr"][:2])
    number = lost = 0
    for entry, function, span in entries(data, *found[".eh_frame"]):
        number += 1
        if span > 0 and table.get(function) != entry:
            print(f"{path}: function at {function:#x} ({span} bytes): its unwind entry is lost")
            lost += 1
    print(f"unwind: {number} entries, {lost} lost")
    return 1 if lost or not number else 0


if __name__ == "__main__":
    sys.exit(main())
