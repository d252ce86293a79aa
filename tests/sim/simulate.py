"""`./dev sim`: as many seeds as one likes, or one of them again with its whole trace.

./dev sim --seeds 10000 [--first 200]
./dev sim --seed 4711
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS.parent), str(TESTS), str(TESTS / "sim")]

import simulation  # noqa: E402 # the paths above are pytest's when it runs


def fails(seed: int) -> str:
    """Run one seed; return what is wrong, empty when nothing is."""
    try:
        simulation.Simulation(seed).run()
    except simulation.Violation as violation:
        return str(violation)
    except Exception as error:  # whatever it is, the seed must be reported
        return f"seed {seed}: {error!r}; replay: ./dev sim --seed {seed}"
    return ""


def replay(seed: int) -> int:
    """Run one seed and print everything."""
    simulation.TRACE_LINES = None
    run = simulation.Simulation(seed)
    try:
        run.run()
        verdict = "nothing is wrong"
    except simulation.Violation as violation:
        verdict = str(violation).splitlines()[0]
    sys.stdout.write(f"{run.plan}\n{run.replay()}\n{verdict}\n")
    return verdict != "nothing is wrong"


def main() -> int:
    parser = argparse.ArgumentParser(prog="dev sim", description="Two stacks over a simulated network.")
    parser.add_argument("--seeds", type=int, default=200, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="only this one, with its trace")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return replay(arguments.seed)
    failed = 0
    with multiprocessing.Pool() as pool:
        seeds = range(arguments.first, arguments.first + arguments.seeds)
        for number, what in enumerate(pool.imap(fails, seeds, chunksize=8), 1):
            if what:
                failed += 1
                sys.stdout.write(f"{what}\n\n")
                sys.stdout.flush()  # a run of hours may be ended before its end
            if sys.stderr.isatty() and number % 50 == 0:
                sys.stderr.write(f"\r{number} of {arguments.seeds}")
    sys.stdout.write(f"{arguments.seeds} seeds, {failed} failed\n")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
