"""`make test-stress`: the tests that wait for something, over and over, while other processes keep all processors busy.

A test that depends on how fast the machine is fails here sooner or later. Stops at the first round that fails.
"""

import argparse
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WAITING = "live feed stack venue locks llm_guards beside journal inspect pattern_obs"


def burn():
    while os.getppid() != 1:  # Not longer than the script, however it ends.
        sum(range(100_000))


def rounds(count, busy, workers, names, options):
    files = [f"tests/test_{name}.py" for name in names]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", str(workers), "--dist", "worksteal"]
    others = [multiprocessing.Process(target=burn, daemon=True) for _ in range(busy)]
    for other in others:
        other.start()
    for number in range(1, count + 1):
        began, before = time.monotonic(), os.times()
        done = subprocess.run([*command, *options, *files], cwd=ROOT, capture_output=True, text=True, check=False)
        after = os.times()
        cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
        last = done.stdout.strip().splitlines()[-1]
        load = os.getloadavg()[0]
        print(f"{number}: {time.monotonic() - began:.0f} s, {cpu_s:.0f} s CPU, load {load:.1f}: {last}", flush=True)
        if done.returncode:
            print(done.stdout + done.stderr)
            return done.returncode
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--busy", type=int, default=4, help="processes that do nothing but compute")
    parser.add_argument("--workers", type=int, default=4, help="workers of pytest-xdist")
    parser.add_argument("--tests", default=WAITING, help="names of test files, without test_ and .py")
    parser.add_argument("options", nargs="*", help="more options for pytest after --, such as --long")
    given = parser.parse_args()
    sys.exit(rounds(given.rounds, given.busy, given.workers, given.tests.split(), given.options))
