"""What a mount can say about a test that failed: `python mount_state.py MOUNT < what was observed before`.

It runs in a process of its own, so that a daemon that does not answer cannot stop pytest, and imports little. The
output is JSON: a list of [title, text].
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

SHOWN_LINES = 30  # of the events of a conversation
LONGEST = 40_000  # characters of those of all that have ended
PATIENCE = 10.0  # seconds
NOT_RECORDED = "recording begins"
ENDED = "logging/net/events.log"

State = dict[str, str]
"""The texts of the files that only grow, at the beginning of a test."""


def observe(mount: Path) -> State:
    """Return what is there before a test: drops are counted from here, and conversations that exist are not its own."""
    live = " ".join(str(events.parent) for events in _event_files(mount))
    return {"drops": _text(mount / "netcfg/stats/drops"), "ended": _text(mount / ENDED), "live": live}


def sections(mount: Path, before: State | None = None) -> list[tuple[str, str]]:
    """Return titles and texts about *mount*, for the report of a failed test."""
    command = [sys.executable, "-I", "-S", __file__, str(mount)]
    try:
        done = subprocess.run(
            command, input=json.dumps(before or {}), capture_output=True, text=True, timeout=PATIENCE, check=True
        )
    except subprocess.TimeoutExpired:
        return [(f"schemefs on {mount}", f"the daemon has not answered for {PATIENCE:g} s")]
    except subprocess.CalledProcessError as error:
        return [(f"schemefs on {mount}", f"its files can't be read: {error.stderr}")]
    return [(title, text) for title, text in json.loads(done.stdout)]


def _sections(mount: Path, before: State) -> Iterator[tuple[str, str]]:
    """Yield what is not empty. `err` comes first: reads that succeed would empty it."""
    schemes = filter(Path.is_dir, _listed(mount))
    errors = {path: _text(path) for path in (mount / "err", *(scheme / "err" for scheme in schemes))}
    yield "err", "".join(f"{path.relative_to(mount)}: {text}" for path, text in errors.items() if text)
    drops = drops_since(before.get("drops", ""), _text(mount / "netcfg/stats/drops"))
    yield "netcfg/stats/drops since the test began", drops
    for interface in filter(Path.is_dir, _listed(mount / "netcfg/ifaces")):
        file = interface / "impair"
        text = _text(file)
        yield str(file.relative_to(mount)), "" if text == "none\n" else text
    ended = _text(mount / ENDED).removeprefix(before.get("ended", ""))
    yield f"the last events of conversations that have ended ({ENDED})", ended[-LONGEST:]
    for file in _event_files(mount):
        lines = _text(file).splitlines()
        if str(file.parent) not in before.get("live", "").split() and NOT_RECORDED not in "".join(lines[:1]):
            local, remote = (_text(file.parent / end).strip() for end in ("local", "remote"))
            title = f"the last events of {file.parent.relative_to(mount)}, {local} to {remote or 'none'}"
            yield title, "".join(f"{line}\n" for line in lines[-SHOWN_LINES:])


def drops_since(before: str, now: str) -> str:
    """Return the lines of `stats/drops` whose counts have grown, with what was added."""
    earlier = dict(_count(line) for line in before.splitlines())
    lines = []
    for line in now.splitlines():
        name, count = _count(line)
        if count > earlier.get(name, 0):
            lines.append(line.replace(f"={count}", f"={count - earlier.get(name, 0)}", 1) + "\n")
    return "".join(lines)


def _count(line: str) -> tuple[str, int]:
    """Return `ip bad_checksum` and 3 for `ip bad_checksum=3 …`."""
    words = " ".join(line.split(" ", 2)[:2])
    name, _, count = words.partition("=")
    return name, int(count) if count.isdecimal() else 0


def _event_files(mount: Path) -> list[Path]:
    """Return those of the live conversations. Only what a listing has is looked up: a failure would be in `err`."""
    found: list[Path] = []
    for scheme in filter(Path.is_dir, _listed(mount)):
        inside = _listed(scheme)
        inside += [file for directory in inside if directory.name == "conversations" for file in _listed(directory)]
        for directory in inside:
            if directory.name.isdecimal():
                found += [file for file in _listed(directory) if file.name == "events"]
    return sorted(found, key=lambda file: (file.parts[:-2], int(file.parts[-2])))


def _listed(directory: Path) -> list[Path]:
    try:
        return [directory / name for name in os.listdir(directory)]
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


if __name__ == "__main__":
    json.dump([found for found in _sections(Path(sys.argv[1]), json.load(sys.stdin)) if found[1]], sys.stdout)
