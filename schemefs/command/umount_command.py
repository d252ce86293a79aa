"""The command `schemefs umount`."""

from __future__ import annotations

import click

from schemefs.command import completion, force_umount, mountpoint
from schemefs.command.standard_streams import report


@click.command("umount")
@click.argument("directory", metavar="DIR", shell_complete=completion.mounts)
@click.option("--force", is_flag=True, help="End it also if the daemon does not answer and calls hang.")
def command(directory: str, *, force: bool) -> None:
    """End the mount on DIR; return when its daemon has ended."""
    path = mountpoint.resolve(directory)
    if not force:
        report(mountpoint.end_mount(path))
        return
    for step in force_umount.end_by_force(path):
        report(step)
