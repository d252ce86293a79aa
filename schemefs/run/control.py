"""shutdown, and ioctl for sockets."""

from __future__ import annotations

import errno
import os
from typing import Final

from schemefs.run import sockaddr
from schemefs.run.call import Call, Failed
from schemefs.run.filter import FIONREAD, SIOCOUTQ
from schemefs.run.session import Outcome, Result, Session
from schemefs.run.sockets import Socket, State

_DIRECTIONS: Final = ("read", "write", "both")
_SIOCATMARK: Final = 0x8905
_SIOCGIFNAME: Final = 0x8910
_SIOCGIFINDEX: Final = 0x8933
_NAME_SIZE: Final = 16  # IFNAMSIZ


def shutdown(session: Session, call: Call) -> Result:
    """Close one direction or both. A listener that is shut down stops listening."""
    found, _description = session.sockets.find(call)
    if found is None:
        return Outcome.NATIVE
    how = call.integer(1)
    if not 0 <= how < len(_DIRECTIONS):
        raise Failed(errno.EINVAL)
    call.about += f", {_DIRECTIONS[how]}"
    if found.state is State.LISTENING:
        if how != 1:
            found.state = State.NEW  # an accept that waits fails with EINVAL
            session.tree.command(found.protocol, found.number, "close")
        return 0
    if found.state in (State.NEW, State.DISSOLVED):
        raise Failed(errno.ENOTCONN)
    session.tree.command(found.protocol, found.number, f"shutdown {_DIRECTIONS[how]}")
    if found.state is State.ANNOUNCED:
        raise Failed(errno.ENOTCONN)  # and yet, as on Linux, a receive that waits ends
    return 0


def ioctl(session: Session, call: Call) -> Result:
    """Answer FIONREAD, which the kernel would compute from the length of a file, and refuse the others for sockets."""
    request = call.integer(1) & 0xFFFFFFFF
    if request in (_SIOCGIFINDEX, _SIOCGIFNAME):  # of AF_UNIX sockets too, which libc takes for it
        return _interface(call, request)
    found, _description = session.sockets.find(call)
    if found is None:
        return Outcome.NATIVE
    if request == FIONREAD:
        value = _readable(call, found)
    elif request in (SIOCOUTQ, _SIOCATMARK):
        value = 0
    else:
        raise Failed(errno.ENOTTY, f"request {request:#x}")
    call.write_integer(call.arguments[2], value)
    return 0


def _interface(call: Call, request: int) -> Result:
    """Answer if_nametoindex(3) and if_indextoname(3) for the interfaces of the mount (struct ifreq)."""
    place = call.arguments[2]
    if request == _SIOCGIFNAME:
        call.write(
            place, sockaddr.interfaces.name(call.read_integer(place + _NAME_SIZE)).encode().ljust(_NAME_SIZE, b"\0")
        )
        return 0
    name = call.read(place, _NAME_SIZE).partition(b"\0")[0].decode(errors="replace")
    number = sockaddr.interfaces.number(name)
    if not number:
        raise Failed(errno.ENODEV)
    call.write_integer(place + _NAME_SIZE, number)
    return 0


def _readable(call: Call, found: Socket) -> int:
    """Return how many octets a read would return; of datagrams, those of the next one."""
    try:
        octets = os.getxattr(f"/proc/{call.thread}/fd/{call.integer(0)}", "user.peek")
    except OSError:
        return 0
    return len(octets.partition(b"\n")[2] if found.state is State.ANNOUNCED else octets)
