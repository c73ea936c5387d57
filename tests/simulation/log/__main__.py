"""Runs seeds of the log's simulation: `python -m tests.simulation.log SEED [--trace]`, or a range: `python -m tests.simulation.log 0-499`."""

import argparse
import sys
import time
from collections import Counter

from tests.simulation.log.world import run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.log", description=__doc__)
    parser.add_argument("seeds", help="a seed, or FIRST-LAST")
    parser.add_argument("--step", type=int, default=1, help="of a range, only every so many")
    parser.add_argument("--trace", action="store_true", help="print all that happens")
    arguments = parser.parse_args()
    first, _, last = arguments.seeds.partition("-")
    counts: Counter[str] = Counter()
    failed, trace = 0, ""
    started = time.perf_counter()
    seeds = range(int(first), int(last or first) + 1, arguments.step)
    for seed in seeds:
        report = run(seed, trace=print if arguments.trace else None)
        counts += report.counts + Counter({f"answered {name}": count for name, count in report.answers.items()})
        trace = f"trace {report.hash}: {report.steps} steps, {report.seconds:.3f} virtual seconds"
        if report.breaches:
            failed += 1
            print(f"seed {seed} ({report.seconds:.1f} s, {report.steps} steps): replay with `{report.replay}`")  # noqa: T201
            for breach in report.breaches:
                print(f"  {breach}")  # noqa: T201
    for name, count in sorted(counts.items()):
        print(f"{count:8}  {name}")  # noqa: T201
    if len(seeds) == 1:
        print(trace)  # noqa: T201
    print(f"{len(seeds)} runs, {failed} failed, {time.perf_counter() - started:.1f} s")  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
