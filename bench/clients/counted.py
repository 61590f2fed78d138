"""Runs one command and writes what the kernel counted for it into a file: `counted.py FILE PROGRAM [ARGUMENT]...`.

A program of its own, and a small one: the kernel starts the peak memory of a process at that of the process that
started it, which for the bench itself is more than a small command needs.
"""

import os
import sys
import time

began = time.perf_counter()
process = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, used = os.wait4(process, 0)
wall = time.perf_counter() - began
with open(sys.argv[1], "w", encoding="ascii") as written:  # noqa: PTH123 -- pathlib would double the memory of this program
    print(used.ru_utime + used.ru_stime, wall, used.ru_maxrss / 1024, file=written)
sys.exit(os.waitstatus_to_exitcode(status) % 256)
