"""getsockname and getpeername."""

from __future__ import annotations

import errno
import select

from schemefs.run import sockaddr
from schemefs.run.call import Call, Failed
from schemefs.run.session import Outcome, Result, Session
from schemefs.run.sockaddr import Address
from schemefs.run.sockets import Socket, State


def getsockname(session: Session, call: Call) -> Result:
    """Return the local address; zeros: it has none yet."""
    found, _description = session.sockets.find(call)
    if found is None:
        return Outcome.NATIVE
    address = _local(session, found) or found.bound or found.any_address
    call.about += f", {address}"
    sockaddr.write(call, call.arguments[1], call.arguments[2], sockaddr.packed(address, found.family))
    return 0


def _local(session: Session, found: Socket) -> Address | None:
    if found.state in (State.NEW, State.LISTENING, State.ANNOUNCED):
        return found.bound
    return sockaddr.parse(session.tree.text(f"{found.name}/local"))


def getpeername(session: Session, call: Call) -> Result:
    """Return the peer's address. ENOTCONN: none, or not connected yet."""
    found, _description = session.sockets.find(call)
    if found is None:
        return Outcome.NATIVE
    if found.remote is None or not _is_connected(session, found):
        raise Failed(errno.ENOTCONN)
    call.about += f", {found.remote}"
    sockaddr.write(call, call.arguments[1], call.arguments[2], sockaddr.packed(found.remote, found.family))
    return 0


def _is_connected(session: Session, found: Socket) -> bool:
    """Return whether the connection is open. The error of a failed connect is left to SO_ERROR."""
    if found.state is not State.CONNECTING:
        return found.state is State.CONNECTED
    with session.tree.ctl(found.protocol, found.number) as ctl:
        poller = select.poll()
        poller.register(ctl, select.POLLOUT)
        events = dict(poller.poll(0)).get(ctl, 0)
    return bool(events & select.POLLOUT) and not events & select.POLLERR
