"""socket, connect, bind, listen and accept."""

from __future__ import annotations

import errno
import os
import select
import socket as kernel_socket
from typing import Final

from schemefs.run import sockaddr, timeouts, unix_sockets
from schemefs.run.call import Call, Description, Failed
from schemefs.run.session import DOMAINS, Outcome, Result, Session, native
from schemefs.run.sockaddr import Address
from schemefs.run.sockets import Socket, State

_TYPES: Final = {int(kernel_socket.SOCK_STREAM): ("tcp", 6), int(kernel_socket.SOCK_DGRAM): ("udp", 17)}
_TYPE_MASK: Final = 0xF
_EXPECTED: Final = (int(kernel_socket.AF_NETLINK),)  # getaddrinfo tries it, and does without
_FAMILIES: Final = (sockaddr.V4, sockaddr.V6)
LARGEST_BACKLOG: Final = 4096
_AT_ANNOUNCE: Final = {"hop_limit": "ttl"} | {
    name: name for name in ("nodelay", "dscp", "keepalive", "user_timeout", "linger", "congestion")
}
"""Settings that a listener hands on to its connections, and their options in its address."""


def socket(session: Session, call: Call) -> Result:
    """Make a conversation, and give the program its `data`."""
    family, type_, protocol = (call.integer(index) for index in range(3))
    if family not in _FAMILIES:
        sentence = f"the mount has no sockets of {DOMAINS.get(family, f'family {family}')}"
        raise Failed(errno.EAFNOSUPPORT, sentence, expected=family in _EXPECTED)
    made = _TYPES.get(type_ & _TYPE_MASK)
    if made is None:
        raise Failed(errno.ESOCKTNOSUPPORT, f"the mount has no sockets of type {type_ & _TYPE_MASK}")
    name, number = made
    if protocol not in (0, number):
        raise Failed(errno.EPROTONOSUPPORT, f"the mount has no protocol {protocol} for this type of socket")
    nonblocking = bool(type_ & kernel_socket.SOCK_NONBLOCK)
    descriptor, conversation = session.tree.make(name, owner=call.owner, nonblocking=nonblocking)
    close_on_exec = bool(type_ & kernel_socket.SOCK_CLOEXEC)
    return _give(session, call, descriptor, Socket(name, conversation, family), close_on_exec)


def _give(session: Session, call: Call, descriptor: int, made: Socket, close_on_exec: bool) -> Result:
    try:
        session.sockets.add(descriptor, made)
        number = session.listener.reply_with_descriptor(call.notification, descriptor, close_on_exec=close_on_exec)
    finally:
        os.close(descriptor)
    call.about, call.value = made.name, number
    return Outcome.REPLIED


# connect


def connect(session: Session, call: Call) -> Result:
    """Connect; the outcome of one that does not wait is that of SO_ERROR, or of the next connect."""
    found, description = session.sockets.find(call)
    if found is None:
        return unix_sockets.connect(call, description)
    family, address = sockaddr.read(call, call.arguments[1], call.integer(2))
    if family == sockaddr.AF_UNSPEC:
        return _dissolve(found)
    if found.is_stream and found.state not in (State.NEW, State.CONNECTING):
        raise Failed(errno.EISCONN)
    _check_length(found, call.integer(2))
    address = found.checked(family, address)
    call.about = f"{found.name}, {address}"
    if not found.is_stream:
        return _connect_datagrams(session, call, found, description, address)
    with found.lock:
        if found.state is State.NEW:
            connected = _begin(session, found, address)
        elif found.state is State.CONNECTING:
            connected = settle(session, found)
            if not connected and description.nonblocking:
                raise Failed(errno.EALREADY)
        else:
            raise Failed(errno.EISCONN)
    if not connected:
        if description.nonblocking:
            raise Failed(errno.EINPROGRESS)
        _await_connection(session, call, found)
    return 0


def _check_length(found: Socket, length: int) -> None:
    """Raise Failed for a sockaddr that is shorter than one of IPv6. A udp socket of IPv6 may connect to one of IPv4."""
    if found.family == sockaddr.V6 and length < sockaddr.SHORTEST_V6 and found.is_stream:
        raise Failed(errno.EINVAL)


def _begin(session: Session, found: Socket, address: Address) -> bool:
    """Begin to connect; return whether it has connected at once."""
    target = session.name_servers.redirect(address)
    found.line = f"connect {target}{_options(session, found)}"
    with session.tree.ctl(found.protocol, found.number) as ctl:
        try:
            connected = _connected(ctl, found.line)
        except OSError:
            found.line = ""
            raise
        found.state = State.CONNECTED if connected else State.CONNECTING
        found.remote = address
        found.reported_error = 0
        apply_settings(ctl, found)
    return connected


def _options(session: Session, found: Socket) -> str:
    options = ",events" if session.records else ""
    if found.bound is not None:
        options += f",from={f':{found.bound.port}' if found.bound.is_any else found.bound}"
    if not found.is_stream and shares_port(found):
        options += ",reuse"
    return options


def shares_port(found: Socket) -> bool:
    """Return whether SO_REUSEADDR or SO_REUSEPORT is set."""
    return any(any(found.values.get((kernel_socket.SOL_SOCKET, name), b"")) for name in (2, 15))


def _connected(ctl: int, line: str) -> bool:
    try:
        os.write(ctl, line.encode())
    except BlockingIOError:  # EINPROGRESS among them
        return False
    return True


def apply_settings(ctl: int, found: Socket) -> None:
    """Set what setsockopt was given before there was an engine to set it of."""
    for name, value in found.settings.items():
        try:
            os.write(ctl, f"{name} {value}".encode())
        except OSError:
            continue  # the connection has ended already: a setting has no effect


def settle(session: Session, found: Socket) -> bool:
    """Return whether a connect that did not wait has connected. OSError: it has failed; that is returned once."""
    with found.lock:
        if found.state is not State.CONNECTING:
            return found.state is State.CONNECTED
        with session.tree.ctl(found.protocol, found.number) as ctl:
            return _settle(ctl, found)


def _settle(ctl: int, found: Socket) -> bool:
    try:
        connected = _connected(ctl, found.line)
    except OSError:
        found.state, found.line, found.remote = State.NEW, "", None
        raise
    if connected:
        found.state = State.CONNECTED
    return connected


def _await_connection(session: Session, call: Call, found: Socket) -> None:
    with session.tree.ctl(found.protocol, found.number) as ctl:
        while True:
            with found.lock:
                if found.state is State.CONNECTED or _settle(ctl, found):
                    return
            try:
                session.waits.poll(call, ctl, select.POLLOUT, timeouts.sending(found))
            except Failed as error:
                raise Failed(errno.EINPROGRESS if error.errno == errno.EAGAIN else error.errno) from None


def _dissolve(found: Socket) -> Result:
    """Take the peer away, as an address of family AF_UNSPEC asks for."""
    if found.is_stream:
        raise Failed(errno.EAFNOSUPPORT, "a connection of tcp can't be dissolved: close it")
    with found.lock:
        found.remote = None
        if found.state is State.CONNECTED:
            found.state = State.DISSOLVED
    return 0


def _connect_datagrams(
    session: Session, call: Call, found: Socket, description: Description, address: Address
) -> Result:
    with found.lock:
        if found.state in (State.ANNOUNCED, State.CONNECTED) and _change_peer(session, found, address):
            return 0
        if found.state is not State.NEW:
            renew(session, call, found, description)
        _begin(session, found, address)
    return 0


def _change_peer(session: Session, found: Socket, address: Address) -> bool:
    """Give a udp socket another peer; datagrams that wait stay. False: not from the address that it has."""
    with session.tree.ctl("udp", found.number) as ctl:
        try:
            os.write(ctl, f"peer {session.name_servers.redirect(address)}".encode())
        except OSError:
            return False
    found.state, found.remote, found.reported_error = State.CONNECTED, address, 0
    return True


def renew(session: Session, call: Call, found: Socket, description: Description) -> None:
    """Replace the conversation of a udp socket by a new one, whose file takes the descriptor's number."""
    with session.tree.ctl(found.protocol, found.number) as ctl:
        os.write(ctl, b"close")  # its port is free from now on
    descriptor, found.number = session.tree.make(found.protocol, owner=call.owner, nonblocking=description.nonblocking)
    found.state, found.remote = State.NEW, None
    try:
        session.sockets.add(descriptor, found)
        close_on_exec = bool(description.flags & os.O_CLOEXEC)
        session.listener.add_descriptor(call.notification, descriptor, at=call.integer(0), close_on_exec=close_on_exec)
    finally:
        os.close(descriptor)


# bind, listen, accept


def bind(session: Session, call: Call) -> Result:
    """Take a local address. A tcp port is looked at here, and taken by listen or connect."""
    found, description = session.sockets.find(call)
    if found is None:
        return native(call, description)
    family, address = sockaddr.read(call, call.arguments[1], call.integer(2))
    _check_length(found, call.integer(2))
    if address is None or family not in (found.family, sockaddr.AF_UNSPEC):
        raise Failed(errno.EAFNOSUPPORT)
    if (found.is_ipv6_only and len(address.host) == 4) or (address.needs_scope and not address.scope):
        raise Failed(errno.EINVAL)
    call.about = f"{found.name}, {address}"
    with found.lock:
        if found.bound is not None or found.state is not State.NEW:
            raise Failed(errno.EINVAL)
        if found.is_stream:
            found.bound = _free_address(session, call, found, address)
        else:
            announce(session, found, address)
    return 0


def _free_address(session: Session, call: Call, found: Socket, address: Address) -> Address:
    """Return *address* with a port, which was free now. EADDRINUSE, EADDRNOTAVAIL, EACCES: as of bind(2)."""
    descriptor, number = session.tree.make("tcp", owner=call.owner, nonblocking=True)
    try:
        with session.tree.ctl("tcp", number) as ctl:
            os.write(ctl, f"announce {_local(found, address)}".encode())
            local = sockaddr.parse(session.tree.text(f"tcp/{number}/local"))
            os.write(ctl, b"close")
        return address._replace(port=local.port if local is not None else address.port)
    finally:
        os.close(descriptor)


def _local(found: Socket, address: Address) -> str:
    """Return the address to announce. Without a host it is of both families, unless the socket is of one."""
    if not address.is_any:
        return str(address)
    if len(address.host) == 4:
        return f":{address.port},family=4"
    return f":{address.port},family=6" if found.is_ipv6_only else f":{address.port}"


def announce(session: Session, found: Socket, address: Address) -> None:
    """Have a udp socket receive from any peer, with a line of the address before each datagram."""
    options = ",headers" + (",events" if session.records else "") + (",reuse" if shares_port(found) else "")
    with session.tree.ctl("udp", found.number) as ctl:
        os.write(ctl, f"announce {_local(found, address)}{options}".encode())
        apply_settings(ctl, found)
    local = sockaddr.parse(session.tree.text(f"{found.name}/local"))
    found.bound = local or address
    found.state = State.ANNOUNCED


def listen(session: Session, call: Call) -> Result:
    """Listen; the same descriptor is readable when a connection waits."""
    found, _description = session.sockets.find(call)
    if found is None:
        return Outcome.NATIVE
    if not found.is_stream:
        raise Failed(errno.EOPNOTSUPP)
    backlog = min(max(call.integer(1), 1), LARGEST_BACKLOG)
    with found.lock:
        if found.state is State.LISTENING:
            session.tree.command("tcp", found.number, f"backlog {backlog}")
            return 0
        if found.state is not State.NEW:
            raise Failed(errno.EINVAL)
        address = found.bound or found.any_address
        options = f",backlog={backlog}" + (",events" if session.records else "")
        options += "".join(
            f",{_AT_ANNOUNCE[name]}={value}" for name, value in found.settings.items() if name in _AT_ANNOUNCE
        )
        session.tree.command("tcp", found.number, f"announce {_local(found, address)}{options}")
        found.state = State.LISTENING
        found.bound = sockaddr.parse(session.tree.text(f"{found.name}/local"))
    call.about = f"{found.name}, {found.bound}"
    return 0


def accept(session: Session, call: Call) -> Result:
    """Accept, as accept4 without flags."""
    return _accept(session, call, 0)


def accept4(session: Session, call: Call) -> Result:
    """Accept; the flags are SOCK_NONBLOCK and SOCK_CLOEXEC."""
    return _accept(session, call, call.integer(3))


def _next_connection(session: Session, call: Call, found: Socket, description: Description) -> int:
    """Return the `data` of the next connection."""
    path, directory = f"{found.number}/accept", session.tree.directory("tcp")
    mode = os.O_RDWR | os.O_CLOEXEC
    try:
        return os.open(path, mode | os.O_NONBLOCK, dir_fd=directory)
    except BlockingIOError:
        if description.nonblocking:
            raise
    try:
        return session.waits.open(call, path, mode, directory)
    except OSError:
        if found.state is State.LISTENING:
            raise
        raise Failed(errno.EINVAL) from None  # it was shut down meanwhile


def _accept(session: Session, call: Call, flags: int) -> Result:
    found, description = session.sockets.find(call)
    if found is None:
        return Outcome.NATIVE
    if found.state is not State.LISTENING:
        raise Failed(errno.EINVAL if found.is_stream else errno.EOPNOTSUPP)
    if not call.has_free_descriptor():
        raise Failed(errno.EMFILE)  # as on Linux before a connection is taken, which waits on
    descriptor = _next_connection(session, call, found, description)
    try:
        os.set_blocking(descriptor, not flags & kernel_socket.SOCK_NONBLOCK)
        made = Socket("tcp", os.getxattr(descriptor, "user.conversation").decode().rpartition("/")[2], found.family)
        made.state = State.CONNECTED
        session.tree.name_owner(made.number, call.owner)
        made.values = {key: value for key, value in found.values.items() if key[1] not in (20, 21)}
        made.bound = sockaddr.parse(os.getxattr(descriptor, "user.local").decode())
        made.remote = sockaddr.parse(os.getxattr(descriptor, "user.remote").decode())
        peer = sockaddr.packed(made.remote or made.any_address, made.family)
        sockaddr.write(call, call.arguments[1], call.arguments[2], peer)
    except BaseException:
        os.close(descriptor)
        raise
    return _give(session, call, descriptor, made, bool(flags & kernel_socket.SOCK_CLOEXEC))
