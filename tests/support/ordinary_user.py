"""Words before a command that run it as a user without any right, who may open /dev/fuse and /dev/net/tun.

In a mount namespace of its own: copies of the devices with the mode 0666, and the folders that keep other users from
this checkout or its Python (a clone in /root) replaced by ones that hold just these.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

USER = 65534
KEPT = (Path(__file__).parents[2], Path(sys.prefix), Path(sys.base_prefix))
DEVICES = {"/dev/fuse": "10 229", "/dev/net/tun": "10 200"}


def as_ordinary_user() -> list[str]:
    """Return the words: for root, where users may make namespaces (`needs("root", "userns")`)."""
    lines = ["mount -t tmpfs -o mode=755 none /mnt"]
    for number, (path, device) in enumerate(DEVICES.items()):
        lines += [f"mknod -m 666 /mnt/{number} c {device}", f"mount --bind /mnt/{number} {path}"]
    for folder in {parent for path in KEPT for parent in path.parents if not parent.stat().st_mode & 0o001}:
        inside = [path for path in KEPT if path.is_relative_to(folder)]
        for number, path in enumerate(inside):
            lines += [f"mkdir /mnt/kept{number}", f"mount --bind {shlex.quote(str(path))} /mnt/kept{number}"]
        lines += [f"mount -t tmpfs -o mode=755 none {folder}"]
        for number, path in enumerate(inside):
            lines += [f"mkdir -p {shlex.quote(str(path))}", f"mount --bind /mnt/kept{number} {shlex.quote(str(path))}"]
    user = f"setpriv --reuid {USER} --regid {USER} --clear-groups --inh-caps=-all"
    return ["unshare", "--mount", "sh", "-ec", "\n".join([*lines, f'exec {user} "$@"']), "sh"]
