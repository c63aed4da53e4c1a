#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Chaos: clients with unique ids on every kind of route, while processes are killed and stopped, memory, descriptors and disk
run out, queues overflow and the clock steps; then the look at what is still held, and a stop under load. Every answer
that is lost, doubled, somebody else's, or failed for no reason that fits a fault is told.

    tests/chaos/run.py --build . --seconds 600 --seed 7

The seed says which faults come in which order; a run is not the same to the millisecond. Exit status: 0 nothing to tell,
1 violations. With --keep DIR the journal and the logs stay there.
"""
import argparse
import os
import shutil
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--build", default=os.environ.get("BULKHEAD_BUILD"), help="the build directory (BULKHEAD_BUILD)")
    parser.add_argument("--seconds", type=float, default=60, help="how long faults happen (default: 60)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the plan (default: the time)")
    parser.add_argument("--keep", metavar="DIR", help="where logs and journal go")
    return parser.parse_args()


def keep(rig, directory):
    os.makedirs(directory, exist_ok=True)
    for path in (rig.journal, rig.b.log_path, rig.b.access_path):
        shutil.copy(path, directory)


def run(options, directory):
    from faults import Plan
    from ledger import Ledger, shown
    from rig import Rig
    ledger = Ledger()
    with Rig(directory, ledger, options.seed) as rig:
        Plan(options.seed).run(rig, options.seconds)
        rig.load.pause()
        rig.check_holdings()
        rig.load.resume()
        time.sleep(0.5)  # the load is on again
        rig.stop_under_load()
        if options.keep:
            keep(rig, options.keep)
        violations = ledger.judge(rig.executed(), rig.access())
    print(*ledger.summary(), sep="\n")
    if violations:
        print("the plan was:", *ledger.excuses, "violations:", shown(violations), sep="\n")
    print(f"seed {options.seed}: {len(ledger.calls)} calls, {len(ledger.excuses)} faults, {len(violations)} violations")
    return 1 if violations else 0


def main():
    options = arguments()
    if options.build:
        os.environ["BULKHEAD_BUILD"] = os.path.abspath(options.build)
    sys.path[:0] = [HERE, os.path.join(HERE, "..", "e2e")]
    with tempfile.TemporaryDirectory(prefix="bulkhead-chaos-") as directory:
        return run(options, directory)


if __name__ == "__main__":
    sys.exit(main())
