"""The ioctls of /dev/net/tun (include/uapi/linux/if_tun.h, Documentation/networking/tuntap.rst), and nothing else.

A refusal of the kernel that a user can act on becomes a DriverError with a sentence of its own.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
from struct import Struct
from typing import Final

from drivers.virtio.features import Feature
from schemefs.driver import DriverError

PATH: Final = "/dev/net/tun"

_TUNSETIFF: Final = 0x400454CA
_TUNGETIFF: Final = 0x800454D2
_TUNGETFEATURES: Final = 0x800454CF
_TUNSETOFFLOAD: Final = 0x400454D0
_TUNSETVNETHDRSZ: Final = 0x400454D8
_SIOCGIFHWADDR: Final = 0x8927

_IFF_TAP: Final = 0x0002
_IFF_NO_PI: Final = 0x1000
_IFF_VNET_HDR: Final = 0x4000
_IFF_PERSIST: Final = 0x0800

_IFREQ_FLAGS = Struct("16sH22x")
_IFREQ_HWADDR = Struct("16sH6s16x")
_INT = Struct("i")
_UNSIGNED = Struct("I")

_TUN_F_CSUM: Final = 0x01
_TUN_F_TSO4: Final = 0x02
_TUN_F_TSO6: Final = 0x04
_TUN_F_USO4: Final = 0x20
_TUN_F_USO6: Final = 0x40

_CSUM = Feature.CSUM | Feature.GUEST_CSUM
_TSO = _CSUM | Feature.GUEST_TSO4 | Feature.GUEST_TSO6 | Feature.HOST_TSO4 | Feature.HOST_TSO6 | Feature.HOST_ECN
_USO = _TSO | Feature.GUEST_USO4 | Feature.GUEST_USO6 | Feature.HOST_USO

# From the most offload to none. TUNSETOFFLOAD says what the kernel may give to us. What it takes from us follows: it
# always completes checksums and cuts TCP, and cuts UDP since the version (6.2) that has the flags for UDP.
OFFLOAD_STEPS: Final = (
    ("checksum, TSO and USO", _TUN_F_CSUM | _TUN_F_TSO4 | _TUN_F_TSO6 | _TUN_F_USO4 | _TUN_F_USO6, _USO),
    ("checksum and TSO", _TUN_F_CSUM | _TUN_F_TSO4 | _TUN_F_TSO6, _TSO),
    ("checksum", _TUN_F_CSUM, _CSUM),
    ("no", 0, Feature(0)),
)

SHORT_HEADER: Final = 10
LONG_HEADER: Final = 12


def open_tun() -> int:
    """Return a new non-blocking descriptor of /dev/net/tun. OSError: no descriptor is left."""
    try:
        return os.open(PATH, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        message = f"there is no {PATH} here, so no TAP device; try --driver loopback, which needs none"
    except PermissionError:
        message = f"no permission to open {PATH}: run as root, or try --driver loopback, which needs no privilege"
    except OSError as error:  # ENODEV, ENXIO: the node is there, the kernel's tun module is not
        if error.errno in (errno.EMFILE, errno.ENFILE):
            raise
        message = f"can't open {PATH} ({error.strerror}); try --driver loopback, which needs no TAP device"
    raise DriverError(message)


def attach(fd: int, name: str) -> None:
    """Attach *fd* to the TAP *name*, which is created unless it exists. OSError: the kernel refuses."""
    fcntl.ioctl(fd, _TUNSETIFF, _IFREQ_FLAGS.pack(name.encode(), _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR))


def has_virtio_header(fd: int) -> bool:
    """Return whether TAPs of this kernel have virtio_net_hdr, which all offloads need; *fd* need not be attached."""
    (features,) = _UNSIGNED.unpack(fcntl.ioctl(fd, _TUNGETFEATURES, bytes(_UNSIGNED.size)))
    return bool(features & _IFF_VNET_HDR)


def is_persistent(fd: int) -> bool:
    """Return whether the attached TAP stays when *fd* is closed."""
    _, flags = _IFREQ_FLAGS.unpack(fcntl.ioctl(fd, _TUNGETIFF, bytes(_IFREQ_FLAGS.size)))
    return bool(flags & _IFF_PERSIST)


def hardware_address(name: str) -> bytes:
    """Return the hardware address of the kernel's side of the TAP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asker:
        answer = fcntl.ioctl(asker, _SIOCGIFHWADDR, _IFREQ_HWADDR.pack(name.encode(), 0, b""))
    octets: bytes = _IFREQ_HWADDR.unpack(answer)[2]
    return octets


def set_header_length(fd: int, log: logging.Logger) -> int:
    """Ask for a virtio_net_hdr of 12 octets (VIRTIO 1.x) before each frame; return the length that the kernel uses."""
    try:
        fcntl.ioctl(fd, _TUNSETVNETHDRSZ, _INT.pack(LONG_HEADER))
    except OSError as error:
        log.warning("the kernel refuses virtio_net_hdr of 12 octets (%s): using 10", error.strerror)
        return SHORT_HEADER
    return LONG_HEADER


def set_offload(fd: int, wanted: str, log: logging.Logger) -> Feature:
    """Switch on the offloads that the kernel grants, with a log line for each refused step. Return a device's features.

    *wanted*: "auto", "off", or "on", which takes nothing less than checksums and TSO (DriverError).
    """
    for title, flags, features in OFFLOAD_STEPS[-1:] if wanted == "off" else OFFLOAD_STEPS:
        if wanted == "on" and not features & Feature.GUEST_TSO4:
            message = "this kernel refuses TCP segmentation offload on a TAP; try --offload auto"
            raise DriverError(message)
        try:
            fcntl.ioctl(fd, _TUNSETOFFLOAD, flags)
        except OSError as error:
            log.warning("the kernel refuses %s offload (%s)", title, error.strerror)
            continue
        return features
    return Feature(0)


def reset_offload(fd: int) -> None:
    """Switch off what a persistent TAP keeps for its next owner (measured: the offload flags and the header length)."""
    for request, argument in ((_TUNSETOFFLOAD, 0), (_TUNSETVNETHDRSZ, _INT.pack(SHORT_HEADER))):
        try:
            fcntl.ioctl(fd, request, argument)
        except OSError as error:
            if error.errno != errno.EBADFD:  # the device was deleted: there is nothing to restore
                raise
