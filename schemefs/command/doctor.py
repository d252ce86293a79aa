"""`schemefs doctor`: checks whether this machine has what a mount needs. Each failure has a fix. Nothing is changed."""

from __future__ import annotations

import importlib
import os
import pwd
import re
import shutil
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import click

from schemefs.command import default_driver, mountpoint
from schemefs.driver import Finding
from schemefs.errors import StartError, printable
from schemefs.fs import mountinfo
from schemefs.tools.json_output import meaning, show_json
from schemefs.variant import COMPILED, variant

_CAP_SYS_ADMIN: Final = 21  # linux/capability.h
KERNEL: Final = (5, 11)  # the first with pidfds for select, FUSE's poll and stream files

# (good, works) of a finding of `schemefs doctor`
MARKS = {(True, True): ("ok  ", "green"), (True, False): ("no  ", "yellow")}
FAILURE = ("FAIL", "red")


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; docs/json.md has the fields.")
def command(*, as_json: bool) -> None:
    """Check this machine for what a mount needs, and print each fix.

    Stale mounts and TAP devices are found too. `no`: mounts do without it. Status 1: a check failed.
    """
    if as_json:
        sys.exit(print_json())
    good = True
    for finding in examine():
        good &= finding.good
        mark, colour = MARKS.get((finding.good, finding.works), FAILURE)
        # Names of mounts, devices and processes are anything that another user likes.
        click.echo(f"{click.style(mark, fg=colour)}  {printable(finding.subject)}: {printable(finding.sentence)}")
        if finding.fix:
            click.echo(f"      fix: {printable(finding.fix)}")
    sys.exit(not good)


def examine() -> Iterator[Finding]:
    """Yield the result of each check, the most basic first."""
    yield _kernel()
    yield _fuse()
    yield _fusermount()
    yield _privilege()
    yield _libfuse_hooks()
    yield _core()
    yield _others()
    yield from _plugins()
    yield from _programs()
    yield from _mounts()


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A finding, as --json prints it."""

    subject: str = field(metadata=meaning("what was looked at"))
    state: str = field(metadata=meaning("`ok`, `no`: mounts do without it, or `FAIL`"))
    sentence: str = field(metadata=meaning("what was found"))
    fix: str = field(metadata=meaning("what mends it, in most cases a command; empty: nothing is to be mended"))


def print_json() -> bool:
    """Print the findings; return whether one is a failure."""
    findings = list(examine())
    states = {(True, True): "ok", (True, False): "no"}
    show_json(
        Diagnosis(one.subject, states.get((one.good, one.works), "FAIL"), one.sentence, one.fix) for one in findings
    )
    return not all(one.good for one in findings)


def _privilege() -> Finding:
    """Look at what mount(2) needs: fusermount3 can't have more than its caller's bounding set."""
    status = Path("/proc/self/status").read_text()
    is_root = os.geteuid() == 0
    if not _capabilities(status, "CapEff" if is_root else "CapBnd") >> _CAP_SYS_ADMIN & 1:
        sentence = "CAP_SYS_ADMIN is not to be had here, and mount(2) needs it"
        return Finding("mounting", sentence, fix="give it to the container: --cap-add SYS_ADMIN", good=False)
    if not is_root and not _has_name():
        sentence = f"uid {os.geteuid()} has no entry in /etc/passwd: fusermount3 can't determine its name"
        fix = f"as root: useradd --uid {os.geteuid()} NAME"
        return Finding("mounting", sentence, fix=fix, good=False)
    if not is_root and re.search(r"^NoNewPrivs:\s*1", status, re.MULTILINE):
        sentence = "no_new_privs is set: fusermount3 can't become root"
        return Finding("mounting", sentence, fix="start it without: sudo, setpriv --no-new-privs and systemd's "
                       "NoNewPrivileges= set it", good=False)  # fmt: skip
    return Finding("mounting", "is not forbidden")


def _has_name() -> bool:
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        return False
    return True


def _capabilities(status: str, which: str) -> int:
    found = re.search(rf"^{which}:\s*([0-9a-f]+)", status, re.MULTILINE)
    return int(found[1], 16) if found else 0


def _kernel() -> Finding:
    release = os.uname().release
    numbers = re.match(r"(\d+)\.(\d+)", release)
    if numbers is not None and (int(numbers[1]), int(numbers[2])) >= KERNEL:
        return Finding("kernel", f"Linux {release}")
    needed = ".".join(map(str, KERNEL))
    return Finding("kernel", f"Linux {release} is older than {needed}", fix=f"a kernel from {needed} on", good=False)


def _fuse() -> Finding:
    try:
        mountpoint.check_fuse()
    except StartError as error:
        sentence, _, fix = str(error).partition(": ")
        return Finding("fuse", sentence, fix=fix, good=False)
    return Finding("fuse", f"{mountpoint.FUSE_DEVICE} can be used")


def _fusermount() -> Finding:
    path = shutil.which("fusermount3")
    needed = os.geteuid() != 0
    if path and os.stat(path).st_mode & stat.S_ISUID and os.stat(path).st_uid == 0:
        return Finding("fusermount3", "is installed: users may mount")
    if path:
        sentence = f"{path} is not setuid root: only root can mount"
        return Finding("fusermount3", sentence, fix=f"chmod u+s {path}", good=not needed, works=False)
    return Finding(
        "fusermount3",
        "is not installed: only root can mount",
        fix="apt-get install fuse3",
        good=not needed,
        works=False,
    )


def _libfuse_hooks() -> Finding:
    try:
        importlib.import_module("schemefs.fs.libfuse_hooks")
    except ImportError as error:
        fix = "reinstall with a C compiler and libfuse3-dev; unset LD_PRELOAD"
        return Finding("libfuse hooks", f"can't be loaded: {error}", fix=fix, good=False)
    return Finding("libfuse hooks", "are loaded: blocked calls can be interrupted")


def _core() -> Finding:
    if variant() == COMPILED:
        return Finding("core", "is compiled")
    fix = "reinstall with a C compiler, not as editable, without SCHEMEFS_PURE; the output of pip -v has the reason"
    return Finding("core", "runs as plain Python: all works, slower", fix=fix)


def _others() -> Finding:
    if os.geteuid() == 0:
        return Finding("other users", "may use root's mounts (unless --private)")
    name = mountpoint.user_name(os.geteuid())
    if mountpoint.others_allowed(asked=True, private=False):
        return Finding("other users", f"may use {name}'s mounts with --allow-other")
    fix = f"as root: echo user_allow_other >>{mountpoint.FUSE_CONF}; then mount with --allow-other"
    return Finding("other users", f"can't use a mount of {name}, and neither can root", fix=fix, works=False)


def _plugins() -> Iterator[Finding]:
    from schemefs import plugins  # noqa: PLC0415 - a broken plugin must not hide the lines above

    found = plugins.load()
    yield Finding("schemes", ", ".join(scheme.name for scheme in found.schemes), good=bool(found.schemes))
    for name, reason in found.missing.items():
        yield Finding(name, reason, fix="reinstall the package it is from, or remove it", good=False)
    findings = [finding for driver in found.drivers.values() for finding in driver.examine()]
    unusable = {finding.subject: finding for finding in findings if not finding.works}
    choice = default_driver.choose(plugins.default_candidates(), plugins.option_tables(), ())
    for finding in findings:
        yield replace(finding, good=False) if finding is unusable.get(choice.driver) else finding
    yield Finding(
        "default driver",
        choice.driver + (f" ({choice.reason})" if choice.reason else ""),
        fix="give another one: schemefs mount --driver loopback" if choice.driver in unusable else "",
        good=choice.driver not in unusable,
    )


def _programs() -> Iterator[Finding]:
    """Yield what `schemefs lab` and `schemefs run` need beside a mount."""
    from schemefs.lab import examination as of_labs  # noqa: PLC0415
    from schemefs.run import examination as of_runs  # noqa: PLC0415

    yield of_labs.examine()
    yield of_runs.examine()


def _mounts() -> Iterator[Finding]:
    for mount in [mount for mount in mountinfo.mounts() if mount.kind == mountinfo.TYPE]:
        state = mountpoint.state_of(mount.path)
        if state is mountpoint.State.ANSWERS:
            yield Finding("mount", f"{mount.path} (process {mount.pid}) answers")
        elif state is mountpoint.State.DEAD:
            fix = f"schemefs umount {mount.path}"
            yield Finding("mount", f"{mount.path} was left by a daemon that has ended", fix=fix, good=False)
        else:
            fix = f"schemefs umount --force {mount.path}"
            yield Finding("mount", f"{mount.path} does not answer{_state_of_daemon(mount)}", fix=fix, good=False)


def _state_of_daemon(mount: mountinfo.MountEntry) -> str:
    """Return the daemon's state as a clause: proc_pid_status(5), State."""
    try:
        status = Path(f"/proc/{mount.pid}/status").read_text()
    except OSError:
        return ""
    state = re.search(r"^State:\s+\S+ \((.*)\)", status, re.MULTILINE)
    return f": its daemon (process {mount.pid}) is {state[1]}" if state else ""
