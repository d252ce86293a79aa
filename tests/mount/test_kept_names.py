"""Names that the kernel keeps, as another uid sees what they lead to after root has looked."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from schemefs.testing.mount import SchemeMount
from tests.support.families import Family
from tests.support.open_to_all import open_to_all

pytestmark = pytest.mark.needs("fuse", "root")


PROGRAM = """
import os, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
def ends(call, *args):
    try: call(*args); return "ok"
    except OSError as error: return error.__class__.__name__
mount, number = sys.argv[1:]
hosts, ctl, data = f"{mount}/netcfg/resolv/hosts", f"{mount}/tcp/{number}/ctl", f"{mount}/tcp/{number}/data"
print(ends(os.listdir, f"{mount}/netcfg/resolv"), ends(os.listdir, f"{mount}/tcp"),
      ends(lambda: open(hosts).read()), ends(lambda: open(hosts, "a")),
      ends(lambda: open(ctl).read()), ends(lambda: open(data, "rb")))
"""


def test_another_uid_has_its_own_rights_below_names_that_the_kernel_keeps(
    scheme_mount: SchemeMount, family: Family
) -> None:
    mount = scheme_mount.path
    listener = os.open(mount / "tcp/:7100", os.O_RDWR)
    client = os.open(mount / f"tcp/{family.lo.at(7100)}", os.O_RDWR)
    number = os.read(listener, 100).split()[0].decode()
    for path in ("netcfg", "netcfg/resolv", "netcfg/resolv/hosts", "tcp", f"tcp/{number}", f"tcp/{number}/ctl"):
        assert (mount / path).stat()
    (mount / "tcp" / number / "ctl").read_text()
    with open_to_all(mount.parent):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, mount, number], capture_output=True, text=True, check=True
        )
    os.close(client)
    os.close(listener)
    assert done.stdout.split() == ["ok", "ok", "ok", "PermissionError", "PermissionError", "PermissionError"]
