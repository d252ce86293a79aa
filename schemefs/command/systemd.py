"""Notifies systemd that the mount is ready: sd_notify(3) without a dependency."""

from __future__ import annotations

import logging
import os
import socket

log = logging.getLogger("schemefs.daemon")


def notify(text: str) -> None:
    """Send *text* (`READY=1`) to the service manager, if NOTIFY_SOCKET names its socket."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):  # the abstract name space, unix(7)
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as service_manager:
            service_manager.sendto(text.encode(), address)
    except OSError as error:
        log.warning("systemd can't be notified that the mount is ready: %s", error.strerror)
