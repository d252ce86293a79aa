"""`./dev bench`: the speed of the mount beside the kernel, slirp4netns and older versions, in one run.

Status 0: every goal is met; 1: one is missed, or a measurement failed; 2: the arguments are wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from schemefs.variant import COMPILED, variant
from tests.bench import page, report
from tests.bench.candidates import Candidates, slirp_is_installed
from tests.bench.installation import Installation, commit
from tests.bench.measurement import KERNEL, OURS, SLIRP, Measurement
from tests.bench.plot import svg
from tests.bench.profile import is_installed, profiled
from tests.bench.rows import ALSO, TABLE
from tests.bench.runner import Measured, Runner, reason
from tests.bench.sizes import NORMAL, TINY

ROUNDS: Final = 5
BUSY: Final = 0.5  # load average


def main() -> int:
    arguments = parsed()
    if arguments.list:
        for measurement in (*TABLE, *ALSO):
            print(f"{measurement.name:15}", "; ".join(figure.title for figure in measurement.figures))
        return 0
    document = arguments.read or measured(arguments)
    if arguments.json:
        arguments.json.write_text(report.as_json(document))
    if arguments.svg:
        arguments.svg.write_text(svg(document))
    if arguments.write:
        page.write(document, arguments.checkout / "docs")
    missed = report.missed(document["rows"])
    print(f"{len(missed)} goals are missed" if missed else "no goal is missed", *missed, sep="\n    ")
    return bool(missed or document["failures"])


def parsed() -> argparse.Namespace:
    also = "./dev bench --study NAME runs one of tests/bench/studies instead. Status 1: a goal is missed."
    parser = argparse.ArgumentParser(prog="./dev bench", epilog=also)
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="of a measurement, or a pattern of names (default: the table)")
    add("--list", action="store_true", help="list the measurements")
    add("--all", action="store_true", help="also those that are not in the table")
    add("--rounds", type=int, default=ROUNDS, help=f"of each measurement (default: {ROUNDS}; long ones have fewer)")
    older = "another schemefs, by the Python that has it; goals of an older version are of the first one"
    add("--against", action="append", default=[], metavar="[NAME=]PYTHON[,VARIABLE=VALUE]", help=older)
    add("--plain", action="store_true", help="measure the checkout's plain Python instead of the compiled core")
    add("--profile", action="store_true", help="profile our daemon by perf(1) where it misses a goal")
    add("--tiny", action="store_true", help="try the measurements: the figures mean nothing")
    add("--json", type=Path, metavar="FILE", help="write the results")
    add("--svg", type=Path, metavar="FILE", help="write the plot")
    add("--write", action="store_true", help="write docs/performance.json, .svg and the table of .md")
    add("--read", type=results, metavar="FILE", help="take the results from a file of --json instead of measuring")
    add("--checkout", type=Path, default=Path.cwd(), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.rounds < 1:
        parser.error("--rounds takes a number from 1")
    if arguments.write and (arguments.names or arguments.tiny):
        parser.error("--write takes a run of the whole table: leave out the names and --tiny")
    if not arguments.read and not arguments.list:
        check(parser, arguments)
    return arguments


def results(file: str) -> dict[str, Any]:
    """Return what --json has written. ArgumentTypeError: the file has something else."""
    try:
        found = json.loads(Path(file).read_text())
        assert found["rows"]
    except (OSError, ValueError, KeyError, TypeError, AssertionError):
        raise argparse.ArgumentTypeError(f"{file} has no results of --json") from None
    return found


def check(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Find what the arguments name. SystemExit: it does not exist."""
    arguments.sizes = TINY if arguments.tiny else NORMAL
    arguments.measurements = chosen(arguments.names, everything=arguments.all)
    for name in arguments.names:
        if not any(fnmatchcase(measurement.name, name) for measurement in (*TABLE, *ALSO)):
            parser.error(f"no measurement is named {name}: --list shows the names")
    try:
        arguments.older = dict(map(Installation.from_text, arguments.against))
    except ValueError as error:
        parser.error(f"--against {error}")
    taken = {OURS, KERNEL, SLIRP} & arguments.older.keys()
    if taken or len(arguments.older) < len(arguments.against):
        parser.error("--against needs different names; ours, kernel and slirp4netns are taken")
    if (variant() == COMPILED) == arguments.plain:
        parser.error(f"the core that is imported is {variant()}")
    if arguments.profile and not is_installed():
        parser.error("--profile needs perf: install the package linux-perf")
    if os.geteuid():
        parser.error("root is needed: the measurements use network namespaces and TAPs")


def chosen(names: list[str], *, everything: bool) -> list[Measurement]:
    """Return the measurements that the names mean."""
    if not names:
        return [*TABLE, *(ALSO if everything else ())]
    return [each for each in (*TABLE, *ALSO) if any(fnmatchcase(each.name, name) for name in names)]


def measured(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure, and print each measurement as it is done."""
    rows: list[dict[str, Any]] = []
    failures: list[str] = []

    def done(found: Measured) -> None:
        rows.extend(map(report.row_json, found.rows))
        failures.extend(f"{name}: {text}" for name, text in found.failures.items())
        print(f"-- {time.monotonic() - began:.0f} s", *report.lines(found), sep="\n", flush=True)

    about, began = facts(arguments), time.monotonic()
    ours = f"ours: {about['core']}, commit {about['candidates'][OURS]['commit']}"
    busy = "; others use the processors, which changes all figures" if about["load"] > BUSY else ""
    print(f"{ours}; load average {about['load']}{busy}", flush=True)
    with Candidates({OURS: Installation(), **arguments.older}) as candidates:
        runner = Runner(candidates, list(arguments.older), arguments.rounds, arguments.sizes)
        runner.run(arguments.measurements, done)
        about["profiles"] = profiles(arguments, candidates, rows) if arguments.profile else []
    about["seconds"] = round(time.monotonic() - began, 1)
    return report.document(about, rows, failures)


def profiles(arguments: argparse.Namespace, candidates: Candidates, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Profile ours where it misses a goal."""
    names = {row["measurement"] for row in rows if not all(map(report.is_met, row["goals"]))}
    found = []
    for measurement in arguments.measurements:
        if measurement.name in names and measurement.is_of_daemon:
            try:
                found.append(profiled(measurement, candidates.get(OURS, measurement.setting), arguments.sizes))
            except Exception as error:  # what was measured must not be lost
                print(f"no profile of {measurement.name}: {reason(error)}", flush=True)
            else:
                print(report.profile_line(found[-1]), flush=True)
    return found


def facts(arguments: argparse.Namespace) -> dict[str, Any]:
    ours = Installation().facts() | {"commit": commit(arguments.checkout)}
    return {
        **report.machine(),
        "core": ours["core"],
        "rounds": arguments.rounds,
        "candidates": {
            OURS: ours,
            **({SLIRP: {"version": slirp_version()}} if slirp_is_installed() else {}),
            **{name: installation.facts() for name, installation in arguments.older.items()},
        },
    }


def slirp_version() -> str:
    shown = subprocess.run(["slirp4netns", "--version"], check=True, capture_output=True, text=True).stdout
    return shown.splitlines()[0].removeprefix("slirp4netns version ")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # the mounts end in order
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
