"""The findings of `schemefs doctor` about TAPs: the device, the offloads, and what a killed daemon has left."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterator
from functools import partial

from drivers.tap import forwarding6, host, tun, uplink
from drivers.tap.permission import obstacle
from drivers.tap.tap_record import TapRecord, records
from schemefs.driver import DriverError, Finding

log = logging.getLogger("schemefs.virtio")


def examine() -> Iterator[Finding]:
    """Yield the findings. Nothing is changed."""
    try:
        descriptor = tun.open_tun()
    except DriverError as error:
        yield Finding("tap", str(error), fix="run as root, or mount with --driver loopback", works=False)
        return
    try:
        yield _offloads(descriptor)
    finally:
        os.close(descriptor)
    for record in records():
        yield from _left_behind(record)
    for changes in uplink.all_recorded():
        if not _in_use(changes.tap):
            sentence = f"the host still forwards for the TAP {changes.tap} of a daemon that was killed"
            yield Finding("uplink", sentence, fix=_undo(changes), good=False, put_back=partial(uplink.end, changes.tap))


def _undo(changes: uplink.UplinkChanges) -> str:
    """Return the commands that undo *changes*."""
    commands = [f"nft delete table ip {changes.table}"]
    commands += ["sysctl net.ipv4.ip_forward=0"] if changes.enabled_forwarding else []
    commands += [f"nft delete table ip6 {changes.table}"] if changes.has_ipv6 else []
    # "all" first: it sets the forwarding of each interface. With `/` a name of an interface may have dots.
    settings = sorted(changes.settings6, key=lambda path: path != forwarding6.FORWARDING)
    commands += [f"sysctl -w net/ipv6/conf/{path}={changes.settings6[path]}" for path in settings]
    return "; ".join(commands)


def _offloads(descriptor: int) -> Finding:
    """Look at what TAPs of this kernel can do: TUNGETFEATURES needs no attached device."""
    try:
        has_virtio_header = tun.has_virtio_header(descriptor)
    except OSError as error:
        fix = f"rm {tun.PATH}; mknod {tun.PATH} c 10 200"
        return Finding("tap", f"{tun.PATH} is not the kernel's: {error.strerror}", fix=fix, works=False)
    missing = obstacle()
    if missing:
        return Finding("tap", f"{tun.PATH} can be opened, but {missing}", works=False)
    if has_virtio_header:
        return Finding("tap", f"{tun.PATH} can be used; checksums and segmentation can be left to the kernel")
    return Finding("tap", f"{tun.PATH} has no virtio_net_hdr: no offloads", fix="a kernel with CONFIG_TUN of its own")


def _left_behind(record: TapRecord) -> Iterator[Finding]:
    side = record.read()
    if side is None or _in_use(side.name):
        return
    sentence = f"the TAP {side.name} is still set up for a daemon that was killed"
    if side.added:
        sentence += f" (it has {' and '.join(side.added)})"
    fix = f"mount with --tap {side.name} once more, and end that in order"
    yield Finding("tap", sentence, fix=fix, good=False, put_back=partial(_put_back, record, side))


def _put_back(record: TapRecord, side: host.HostSide) -> None:
    host.restore(side)
    record.remove()


def _in_use(tap: str) -> bool:
    """Return whether a process has the TAP: without multi_queue it has one user at most."""
    if host.existing(tap) is None:
        return False
    descriptor = tun.open_tun()
    try:
        tun.attach(descriptor, tap)
    except OSError as error:
        return error.errno == errno.EBUSY
    finally:
        os.close(descriptor)
    return False
