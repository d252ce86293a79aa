"""What an address is used for: decided here alone, for the paths of every protocol and for the verbs of ctl.

    tcp/10.0.2.2:80                                 CONNECT   HOST:PORT is the peer
    tcp/:8080  tcp/10.0.2.15:8080,listen            LISTEN    HOST:PORT is local: a conversation for each peer
    tcp/:8080,accept  tcp/10.0.2.15:8080,accept     ACCEPT    the data of one of these
    udp/:53  udp/10.0.2.15:53,bind                  BIND      HOST:PORT is local: datagrams of any sender

A host in an address never makes it a local one by itself: the word does. `announce` of a ctl is such a word too.
"""

from __future__ import annotations

from enum import Flag
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from schemefs.net.addresses import AddressPath


class Use(Flag):
    """What an address is for. An option of LISTEN applies to ACCEPT too, which listens while it waits."""

    CONNECT = 1
    LISTEN = 2
    ACCEPT = LISTEN | 4
    BIND = 8
    LOCAL = ACCEPT | BIND
    BOTH = CONNECT | LOCAL


def use_of(address: AddressPath, *, datagrams: bool, given: Use = Use.BOTH) -> Use:
    """Return CONNECT, LISTEN, ACCEPT or BIND. *given*: what a verb has decided already, CONNECT or LOCAL."""
    if given is Use.CONNECT:
        return given
    options = address.options
    if "accept" in options:
        return Use.ACCEPT
    if "listen" in options:
        return Use.LISTEN
    if given is Use.LOCAL or "bind" in options or not address.host_port.host:
        return Use.BIND if datagrams else Use.LISTEN
    return Use.CONNECT
