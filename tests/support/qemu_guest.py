"""A Linux guest in QEMU, made of what the machine has: a kernel with its modules, and a static busybox as its first
process.

SCHEMEFS_KERNEL names a folder with `boot/vmlinuz-*` and `lib/modules`, such as an unpacked package linux-image; without
it the machine's own are used.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.support.families import FAMILIES, V4, V6

ROOT: Final = Path(os.environ.get("SCHEMEFS_KERNEL", "/"))
MODULES: Final = (
    "virtio/virtio", "virtio/virtio_ring", "virtio/virtio_pci_legacy_dev", "virtio/virtio_pci_modern_dev",
    "virtio/virtio_pci", "net/net_failover", "net/virtio_net",
)  # fmt: skip
ADDRESSES: Final = "\n".join(f"ip address add {one.peer}/{one.link.partition('/')[2]} dev eth0" for one in FAMILIES)
READY: Final = "the guest is ready"
INIT: Final = f"""#!/bin/busybox sh
/bin/busybox --install /bin
export PATH=/bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
for turn in 1 2 3 4; do for module in /*.ko; do insmod $module 2>/dev/null; done; done  # in the end none needs another
ip link set lo up
ip link set eth0 up
{ADDRESSES}
nc -ll -p 7 -e cat &
until cat /proc/net/tcp* | grep -q ':0007 '; do sleep 0.1; done
echo {READY}
while :; do for us in {V4.ours} {V6.ours}; do nc $us 8000 -e sh 2>/dev/null; sleep 1; done; done
"""


def lacking() -> str:
    """Return what the machine lacks for a guest; empty: nothing."""
    if shutil.which("qemu-system-x86_64") is None:
        return "no qemu-system-x86_64"
    busybox = shutil.which("busybox")
    if busybox is None or b"ld-linux" in Path(busybox).read_bytes()[:4096]:
        return "no static busybox (busybox-static)"
    return "" if _kernel() else f"no kernel with modules in {ROOT}/boot and {ROOT}/lib/modules (SCHEMEFS_KERNEL)"


def start(socket: Path, scratch: Path) -> subprocess.Popen[str]:
    """Start a guest whose network is *socket*, where the other end listens. Its console is its standard output.

    Without KVM, which may be there and not work: the guest boots with 4 s of processor time.
    """
    (scratch / "initrd").write_bytes(_initramfs())
    return subprocess.Popen(
        ["qemu-system-x86_64", "-accel", "tcg", "-m", "256", "-display", "none", "-serial", "stdio",
         "-monitor", "none", "-no-reboot", "-kernel", str(_kernel()), "-initrd", str(scratch / "initrd"),
         "-append", "console=ttyS0 quiet panic=-1",
         "-netdev", f"stream,id=n,server=off,addr.type=unix,addr.path={socket}", "-device", "virtio-net-pci,netdev=n"],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    )  # fmt: skip


def _kernel() -> Path | None:
    """Return a readable kernel of which there are the modules."""
    for kernel in sorted((ROOT / "boot").glob("vmlinuz-*")):
        if os.access(kernel, os.R_OK) and _modules(kernel).is_dir():
            return kernel
    return None


def _modules(kernel: Path) -> Path:
    return ROOT / "lib/modules" / kernel.name.removeprefix("vmlinuz-") / "kernel"


def _initramfs() -> bytes:
    """Return an archive of cpio's format `newc`. A module that is not there is built in."""
    kernel, busybox = _kernel(), shutil.which("busybox")
    assert kernel is not None
    assert busybox is not None
    files = {"bin": b"", "proc": b"", "dev": b"", "bin/busybox": Path(busybox).read_bytes(), "init": INIT.encode()}
    drivers = _modules(kernel) / "drivers"
    for path in (_modules(kernel) / "net/core/failover.ko", *(drivers / f"{name}.ko" for name in MODULES)):
        if path.exists():
            files[path.name] = path.read_bytes()
        elif path.with_suffix(".ko.xz").exists():
            files[path.name] = subprocess.check_output(["xz", "-dc", path.with_suffix(".ko.xz")])
    return b"".join(_entry(name, octets) for name, octets in files.items()) + _entry("TRAILER!!!", b"")


def _entry(name: str, octets: bytes) -> bytes:
    mode = 0o40755 if not octets and name != "TRAILER!!!" else 0o100755
    fields = (0, mode, 0, 0, 1, 0, len(octets), 0, 0, 0, 0, len(name) + 1, 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    return _padded(header) + _padded(octets)


def _padded(octets: bytes) -> bytes:
    return octets + bytes(-len(octets) % 4)
