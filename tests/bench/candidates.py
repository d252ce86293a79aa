"""The candidates, each made when a measurement first asks for it and kept until the end.

    kernel        two namespaces, a veth pair between
    slirp4netns   in C, on a TAP: it ends the connections of its namespace and makes them again outside. Not the same
                  thing as a mount, but the same costs: each octet passes a TAP, a process and a file or socket
    others        a mount, by one installation; the kernel on the other side of its TAP is the server

Settings: `tap`; `unused` is another one for a measurement that must be the first; `frames` has an MTU of 1500 and no
offloads; `passt` has that driver instead of the TAP.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Final, Self

from schemefs.testing.network import Namespace
from tests.bench.candidate import Candidate
from tests.bench.installation import Installation
from tests.bench.measurement import KERNEL, SLIRP
from tests.bench.network import ADDRESSES, linked, path, pin_congestion_control, without_offloads

LARGEST_MTU: Final = 65520  # slirp4netns's, with which it is fastest
MOUNT_OPTIONS: Final = {"tap": (), "unused": (), "frames": ("--offload", "off"), "passt": ("--driver", "passt")}


class Candidates:
    """Use as a context: the end removes all."""

    def __init__(self, installations: Mapping[str, Installation]) -> None:
        self._installations = installations
        self._made: dict[tuple[str, str], Candidate] = {}
        self._undo = ExitStack()
        self._scratch = Path(
            self._undo.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm", ignore_cleanup_errors=True))
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    @property
    def names(self) -> tuple[str, ...]:
        """Those that can be measured on this machine."""
        return (KERNEL, *((SLIRP,) if slirp_is_installed() else ()), *self._installations)

    def get(self, name: str, setting: str = "tap") -> Candidate:
        """Return the candidate in a setting."""
        if (name, setting) not in self._made:
            make = {KERNEL: self._kernel, SLIRP: self._slirp}.get(name, self._mount)
            self._made[name, setting] = make(name, setting)
        return self._made[name, setting]

    def _kernel(self, name: str, setting: str) -> Candidate:
        client, server = self._undo.enter_context(linked())
        if setting == "frames":
            without_offloads(client, "veth0")
            without_offloads(server, "veth0")
        here, there = ADDRESSES
        return Candidate(name, client, server, there, here, self._scratch, lambda other: self.get(name, other))

    def _slirp(self, name: str, setting: str) -> Candidate:
        server, client = self._namespace(), self._namespace()
        pin_congestion_control(server)
        mtu = 1500 if setting == "frames" else LARGEST_MTU
        words = ["slirp4netns", "--configure", f"--mtu={mtu}", "--netns-type=path", path(client), "tap0"]
        process = server.start(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 10
        while not _has_address(client):
            assert process.poll() is None, "slirp4netns has ended"
            assert time.monotonic() < end, "slirp4netns did not come up"
        pin_congestion_control(client)
        return Candidate(
            name, client, server, "10.0.2.2", "", self._scratch, lambda other: self.get(name, other), process.pid
        )

    def _mount(self, name: str, setting: str) -> Candidate:
        installation = self._installations[name]
        if setting == "passt":
            namespace, _ = self._undo.enter_context(linked())
            # passt's host is the gateway unless --no-map-gw: the kernel is then at the address of the interface.
            namespace.run(["ip", "route", "add", "default", "via", ADDRESSES[1]])
            host, address = ADDRESSES[0], ""
        else:
            namespace, host, address = self._namespace(), "10.0.2.2", "10.0.2.15"
        mount = Path(tempfile.mkdtemp(dir=self._scratch))
        pid_file = mount.with_suffix(".pid")
        words = installation.command("mount", mount, "--pid-file", pid_file, *MOUNT_OPTIONS[setting])
        namespace.run(words)
        self._undo.callback(_unmount, installation, mount)
        pin_congestion_control(namespace)
        return Candidate(
            name,
            namespace,
            namespace,
            host,
            address,
            self._scratch,
            lambda other: self.get(name, other),
            int(pid_file.read_text()),
            mount,
            installation,
        )

    def _namespace(self) -> Namespace:
        namespace = Namespace()
        self._undo.callback(namespace.close)
        return namespace


def _unmount(installation: Installation, mount: Path) -> None:
    """End a mount. What was measured must not be lost if it does not end: the daemon ends with its namespace."""
    done = subprocess.run(installation.command("umount", mount), capture_output=True, text=True)
    if done.returncode:
        print(done.stderr.strip(), file=sys.stderr)
        subprocess.run(["umount", "--lazy", mount], capture_output=True)


def slirp_is_installed() -> bool:
    return shutil.which("slirp4netns") is not None


def _has_address(client: Namespace) -> bool:
    links = json.loads(client.run(["ip", "-json", "-4", "address"]).stdout)
    return any(link.get("ifname") == "tap0" and link["addr_info"] for link in links)
