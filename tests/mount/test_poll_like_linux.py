"""poll(2), cell by cell: what our file says in a TCP situation, and what a Linux socket says in the same one."""

from __future__ import annotations

import itertools
import os
import select
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from schemefs.testing.observing import wait_until
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")

NAMES = {
    select.POLLIN: "IN", select.POLLPRI: "PRI", select.POLLOUT: "OUT", select.POLLERR: "ERR", select.POLLHUP: "HUP",
    select.POLLRDHUP: "RDHUP",
}  # fmt: skip
PORTS = itertools.count(9000)
SOON = 10.0


class End:
    """One end of a connection, or a listener, in one of the two worlds."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def poll(self) -> set[str]:
        poller = select.poll()
        poller.register(self.descriptor, sum(NAMES))
        mask = dict(poller.poll(0)).get(self.descriptor, 0)
        return {name for bit, name in NAMES.items() if mask & bit}

    def write(self, data: bytes) -> None:
        os.write(self.descriptor, data)

    def read(self) -> bytes:
        return os.read(self.descriptor, 1 << 20)

    def fill(self) -> None:
        os.set_blocking(self.descriptor, False)
        refusals = 0

        def is_full() -> bool:  # the peer's buffer has taken what it can
            nonlocal refusals
            try:
                os.write(self.descriptor, bytes(1 << 16))
                refusals = 0
            except BlockingIOError:
                refusals += 1
            return refusals == 50

        wait_until(is_full, "it never fills")

    def shutdown_write(self) -> None:
        raise NotImplementedError

    def shutdown_read(self) -> None:
        raise NotImplementedError

    def reset(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


class LinuxEnd(End):
    def __init__(self, made: socket.socket) -> None:
        super().__init__(made.fileno())
        self.socket = made

    def shutdown_write(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    def shutdown_read(self) -> None:
        self.socket.shutdown(socket.SHUT_RD)

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def close(self) -> None:
        self.socket.close()


class Linux:
    """Sockets over the kernel's own lo."""

    def __init__(self, stack: ExitStack, family: Family) -> None:
        self._stack = stack
        self._family = family

    def _socket(self) -> socket.socket:
        return socket.socket(getattr(socket, self._family.socket))

    def _end(self, made: socket.socket) -> LinuxEnd:
        self._stack.callback(made.close)
        return LinuxEnd(made)

    def unconnected(self) -> End:
        return self._end(self._socket())

    def listen(self, backlog: int = 8) -> End:
        end = self._end(self._socket())
        end.socket.bind((self._family.lo, 0))
        end.socket.listen(backlog - 1)  # Linux takes one more than it is told
        return end

    def begin(self, listener: End) -> End:
        assert isinstance(listener, LinuxEnd)
        return self._begin(listener.socket.getsockname())

    def _begin(self, address: tuple[str, int]) -> End:
        end = self._end(self._socket())
        end.socket.setblocking(False)
        with suppress(BlockingIOError):
            end.socket.connect(address)
        return end

    def accept(self, listener: End) -> End:
        assert isinstance(listener, LinuxEnd)
        return self._end(listener.socket.accept()[0])

    def refused(self) -> End:
        with self._socket() as unused:
            unused.bind((self._family.lo, 0))
            return self._begin(unused.getsockname())


class OurEnd(End):
    def __init__(self, descriptor: int, root: Path) -> None:
        super().__init__(descriptor)
        self._directory = root / os.getxattr(descriptor, "user.conversation").decode()

    def _command(self, command: str) -> None:
        with open(self._directory / "ctl", "wb", buffering=0) as ctl:
            ctl.write(command.encode())

    def shutdown_write(self) -> None:
        self._command("shutdown write")

    def shutdown_read(self) -> None:
        self._command("shutdown read")

    def reset(self) -> None:
        self._command("hangup")

    def close(self) -> None:
        os.close(self.descriptor)


class Ours:
    """Files of a mount, over our lo."""

    def __init__(self, stack: ExitStack, path: Path, family: Family) -> None:
        self._stack = stack
        self.path = path
        self._family = family
        self._ports: dict[End, int] = {}

    def _open(self, name: str) -> End:
        end = OurEnd(os.open(self.path / name, os.O_RDWR | os.O_NONBLOCK), self.path)

        def close() -> None:
            with suppress(OSError):
                os.close(end.descriptor)

        self._stack.callback(close)
        return end

    def unconnected(self) -> End:
        clone = os.open(self.path / "tcp/clone", os.O_RDWR)
        self._stack.callback(os.close, clone)
        return self._open(f"tcp/{os.read(clone, 10).decode().strip()}/data")

    def listen(self, backlog: int = 8) -> End:
        port = next(PORTS)
        listener = self._open(f"tcp/:{port},backlog={backlog}")
        self._ports[listener] = port
        return listener

    def begin(self, listener: End) -> End:
        return self._open(f"tcp/{self._family.lo.at(self._ports[listener])}")

    def accept(self, listener: End) -> End:
        number = listener.read().split()[0].decode()
        return self._open(f"tcp/{number}/data")

    def refused(self) -> End:
        return self._open(f"tcp/{self._family.lo.at(9)}")


World = Linux | Ours


def wait_for(end: End, *names: str) -> End:
    wait_until(lambda: set(names) <= end.poll(), lambda: f"{end.poll()} lacks one of {names}")
    return end


def pair(world: World) -> tuple[End, End]:
    listener = world.listen()
    client = world.begin(listener)
    wait_for(listener, "IN")
    server = world.accept(listener)
    wait_for(client, "OUT")
    return client, server


def unconnected(world: World) -> End:
    return world.unconnected()


def connecting(world: World) -> End:
    """Nobody answers: the listener's backlog is full."""
    listener = world.listen(backlog=1)
    wait_for(world.begin(listener), "OUT")
    wait_for(listener, "IN")
    return world.begin(listener)


def connected_idle(world: World) -> End:
    return pair(world)[0]


def accepted_idle(world: World) -> End:
    return pair(world)[1]


def data_waits(world: World) -> End:
    client, server = pair(world)
    server.write(b"data")
    return wait_for(client, "IN")


def data_was_read(world: World) -> End:
    client = data_waits(world)
    client.read()
    return client


def peer_fin(world: World) -> End:
    client, server = pair(world)
    server.shutdown_write()
    return wait_for(client, "IN")


def peer_fin_behind_data(world: World) -> End:
    client, server = pair(world)
    server.write(b"data")
    server.shutdown_write()
    return wait_for(client, "RDHUP")


def peer_fin_was_read(world: World) -> End:
    client = peer_fin(world)
    assert client.read() == b""
    return client


def we_shut_write(world: World) -> End:
    client, server = pair(world)
    client.shutdown_write()
    wait_for(server, "RDHUP")
    return client


def we_shut_read(world: World) -> End:
    client, _ = pair(world)
    client.shutdown_read()
    return client


def both_shut_we_first(world: World) -> End:
    client, server = pair(world)
    client.shutdown_write()
    wait_for(server, "RDHUP")
    server.shutdown_write()
    return wait_for(client, "RDHUP")


def both_shut_peer_first(world: World) -> End:
    client, server = pair(world)
    server.shutdown_write()
    wait_for(client, "RDHUP")
    client.shutdown_write()
    return wait_for(client, "HUP")


def reset_by_peer(world: World) -> End:
    client, server = pair(world)
    server.reset()
    return wait_for(client, "HUP")


def reset_behind_data(world: World) -> End:
    client, server = pair(world)
    server.write(b"data")
    wait_for(client, "IN")
    server.reset()
    return wait_for(client, "HUP")


def reset_was_told(world: World) -> End:
    client = reset_by_peer(world)
    with pytest.raises(ConnectionResetError):
        client.read()
    return client


def refused(world: World) -> End:
    return wait_for(world.refused(), "HUP")


def refused_was_told(world: World) -> End:
    client = refused(world)
    with pytest.raises(ConnectionRefusedError):
        client.read()
    return client


def listener_idle(world: World) -> End:
    return world.listen()


def listener_pending(world: World) -> End:
    listener = world.listen()
    world.begin(listener)
    return wait_for(listener, "IN")


def send_buffer_full(world: World) -> End:
    client, _ = pair(world)
    client.fill()
    return client


def send_buffer_full_and_data(world: World) -> End:
    client, server = pair(world)
    client.fill()
    server.write(b"data")
    return wait_for(client, "IN")


SITUATIONS: list[Callable[[World], End]] = [
    unconnected, connecting, connected_idle, accepted_idle, data_waits, data_was_read, peer_fin, peer_fin_behind_data,
    peer_fin_was_read, we_shut_write, we_shut_read, both_shut_we_first, both_shut_peer_first, reset_by_peer,
    reset_behind_data, reset_was_told, refused, refused_was_told, listener_idle, listener_pending, send_buffer_full,
    send_buffer_full_and_data,
]  # fmt: skip


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.__name__)
def test_the_same_as_a_linux_socket(
    module_scheme_mount: SchemeMount, stack: ExitStack, situation: Callable[[World], End], family: Family
) -> None:
    linux = situation(Linux(stack, family.of_kernel())).poll()
    assert situation(Ours(stack, module_scheme_mount.path, family)).poll() == linux
