"""The mount command after its options are read: checks, the daemon in the foreground or background, the ready line.

A mount that fails leaves nothing behind: the daemon undoes its own steps, and a stale mount of a crashed daemon is
removed here.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType

from schemefs.command import background, mountpoint, systemd
from schemefs.config import Config
from schemefs.errors import StartError, out_of_descriptors

Report = Callable[[str], None]


def mount_in_foreground(
    config: Config, path: str, report: Report, *, allow_other: bool, pid_file: Path | None, scheme_files: Sequence[str]
) -> int:
    """Serve until unmounted; *report* gets the ready line. Return the exit status."""
    with mountpoint.reserved(path):
        mountpoint.check_fuse()
        return _serve(config, path, report, allow_other=allow_other, pid_file=pid_file, scheme_files=scheme_files)


def mount_in_background(
    config: Config, path: str, *, allow_other: bool, pid_file: Path | None, scheme_files: Sequence[str]
) -> str:
    """Start a daemon that serves *path*, and return its ready line."""

    def serve(report: Report) -> int:
        return _serve(config, path, report, allow_other=allow_other, pid_file=pid_file, scheme_files=scheme_files)

    with mountpoint.reserved(path):
        mountpoint.check_fuse()
        try:
            return background.run(serve, config.log_file)
        except StartError:
            mountpoint.remove_stale(path)  # of a daemon that crashed
            raise


def _serve(
    config: Config, path: str, report: Report, *, allow_other: bool, pid_file: Path | None, scheme_files: Sequence[str]
) -> int:
    # trio and pyfuse3 must not be imported before the fork
    from schemefs import daemon  # noqa: PLC0415
    from schemefs.command import scheme_file  # noqa: PLC0415

    others_allowed = mountpoint.others_allowed(asked=allow_other, private=config.private)
    audience = mountpoint.audience(asked=allow_other, private=config.private)
    signals = _SignalsOutsideService()

    def report_ready(line: str) -> None:
        signals.ignored = True
        line = _with_audience(line, audience)
        systemd.notify(f"READY=1\nMAINPID={os.getpid()}\nSTATUS={line}")
        report(line)

    load = partial(scheme_file.load_with_files, scheme_files)
    try:
        with _pid_file(pid_file):
            return daemon.serve(config, Path(path), allow_other=others_allowed, report=report_ready, load=load)
    except (OSError, ImportError) as error:
        refusal = out_of_descriptors(error)
        if refusal is None:
            raise
        raise StartError(refusal.sentence) from None


class _SignalsOutsideService:
    """Handles signals while the daemon does not: before its start they end it, after its end they are ignored.

    A second SIGTERM must not kill a daemon while it puts the host's settings back.
    """

    def __init__(self) -> None:
        self.ignored = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._receive)

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        if not self.ignored:
            raise StartError(f"ended by {signal.Signals(number).name} before it was ready")


def _with_audience(line: str, audience: str) -> str:
    """Insert which users may use the mount before the `. Try: …` that ends the line."""
    head, separator, example = line.partition(". Try: ")
    return f"{head}{f', {audience}' if audience else ''}{separator}{example}"


@contextmanager
def _pid_file(path: Path | None) -> Iterator[None]:
    """Keep this process's id in *path* while it serves, complete before the mount is reported as ready."""
    if path is None:
        yield
        return
    try:
        path.write_text(f"{os.getpid()}\n")
    except OSError as error:
        raise StartError(f"the pid file {path} can't be written: {error.strerror}") from None
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()
