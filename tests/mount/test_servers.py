"""Servers on a real mount: listeners and what they say, many acceptors, backlog, which user may have which port."""

from __future__ import annotations

import errno
import os
import select
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")


@pytest.fixture
def tcp(module_scheme_mount: SchemeMount) -> Path:
    return module_scheme_mount.path / "tcp"


def opened(path: Path, flags: int = os.O_RDWR) -> int:
    return os.open(path, flags)


def refused(path: Path, flags: int = os.O_RDWR) -> tuple[int | None, str]:
    """Return the errno of an open that must fail, and the scheme's sentence."""
    with pytest.raises(OSError) as caught:
        os.close(os.open(path, flags))
    return caught.value.errno, (path.parent / "err").read_text()


def test_a_listener_is_readable_when_a_peer_waits_and_gives_a_line_octet_by_octet(tcp: Path, family: Family) -> None:
    listener = opened(tcp / ":7101", os.O_RDONLY | os.O_NONBLOCK)
    poller = select.poll()
    poller.register(listener, select.POLLIN)
    assert poller.poll(0) == []
    with pytest.raises(BlockingIOError):
        os.read(listener, 100)
    client = opened(tcp / family.lo.at(7101))
    assert poller.poll(5000) == [(listener, select.POLLIN)]
    line = b""
    while not line.endswith(b"\n"):
        line += os.read(listener, 1)
    number, remote, local = line.decode().split()
    assert (tcp / number / "remote").read_text().strip() == remote
    assert local == family.lo.at(7101)
    assert poller.poll(0) == []
    for descriptor in (client, listener):
        os.close(descriptor)


def test_twenty_acceptors_get_a_connection_each(tcp: Path, family: Family) -> None:
    listener = opened(tcp / ":7102", os.O_RDONLY)
    with ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(opened, tcp / ":7102,accept") for _ in range(20)]
        clients = [opened(tcp / family.lo.at(7102)) for _ in range(20)]
        accepted = [each.result(10) for each in waiting]
    for index, client in enumerate(clients):
        os.write(client, b"%02d" % index)
    assert sorted(os.read(each, 2) for each in accepted) == [b"%02d" % index for index in range(20)]
    for descriptor in (*clients, *accepted, listener):
        os.close(descriptor)


def test_acceptors_without_a_listener_listen_as_long_as_they_wait(tcp: Path, family: Family) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(opened, tcp / ":7103,accept")
        client = connected_when_it_listens(tcp / family.lo.at(7103))
        accepted = waiting.result(10)
    os.write(client, b"hello")
    assert os.read(accepted, 10) == b"hello"
    assert refused(tcp / family.lo.at(7103))[0] == errno.ECONNREFUSED
    os.close(client)
    os.close(accepted)


def connected_when_it_listens(path: Path) -> int:
    while True:
        try:
            return opened(path)
        except ConnectionRefusedError:
            continue


def test_a_nonblocking_accept_without_a_peer_is_eagain(tcp: Path) -> None:
    listener = opened(tcp / ":7104", os.O_RDONLY)
    assert refused(tcp / ":7104,accept", os.O_RDWR | os.O_NONBLOCK)[0] == errno.EAGAIN
    os.close(listener)


def test_accept_waits_as_long_as_it_says(tcp: Path) -> None:
    before = set(os.listdir(tcp))
    number, sentence = refused(tcp / ":7195,accept,read_timeout=0.2")
    assert (number, sentence) == (errno.EAGAIN, "no peer connected within 0.2 s\n")
    assert set(os.listdir(tcp)) <= before


def test_the_options_of_accept_apply_to_its_connection(tcp: Path, family: Family) -> None:
    # The options were the listener's alone; these had no effect.
    listener = opened(tcp / ":7196", os.O_RDONLY)
    client = opened(tcp / family.lo.at(7196))
    accepted = opened(tcp / ":7196,accept,nodelay,ttl=9,read_timeout=0.1")
    settings = tcp.parent / os.getxattr(accepted, "user.conversation").decode() / "settings"
    assert [(settings / name).read_text() for name in ("nodelay", "hop_limit", "read_timeout")] == [
        "1\n",
        "9\n",
        "0.1\n",
    ]
    with pytest.raises(BlockingIOError):
        os.read(accepted, 1)
    for descriptor in (accepted, client, listener):
        os.close(descriptor)


def test_beyond_the_backlog_no_peer_connects_until_one_is_accepted(tcp: Path, family: Family) -> None:
    listener = opened(tcp / ":7105,backlog=2", os.O_RDONLY)
    clients = [opened(tcp / f"{family.lo.at(7105)},timeout=5") for _ in range(2)]
    error, sentence = refused(tcp / f"{family.lo.at(7105)},timeout=0.2")
    assert (error, sentence.startswith("no answer")) == (errno.ETIMEDOUT, True), sentence
    os.read(listener, 100)
    clients.append(opened(tcp / f"{family.lo.at(7105)},timeout=5"))
    for descriptor in (*clients, listener):
        os.close(descriptor)


def test_a_port_has_one_listener_and_is_free_at_once_when_it_ends(tcp: Path, family: Family) -> None:
    listener = opened(tcp / ":7106", os.O_RDONLY)
    client = opened(tcp / family.lo.at(7106))
    number = os.read(listener, 100).split()[0].decode()
    accepted = opened(tcp / number / "data")
    error, sentence = refused(tcp / ":7106", os.O_RDONLY)
    assert error == errno.EADDRINUSE
    assert "7106" in sentence
    os.close(listener)
    # Connections of the old listener live on, one of them soon in TIME_WAIT: a server may begin anew all the same.
    again = opened(tcp / ":7106", os.O_RDONLY)
    os.close(accepted)
    os.close(client)
    os.close(again)
    os.close(opened(tcp / ":7106", os.O_RDONLY))


def test_announcing_one_address_beside_another(tcp: Path) -> None:
    """As on Linux: 127.0.0.1 and 127.0.0.2 are different ends of one port, `any` is both."""
    with open(tcp / "clone", "r+b", buffering=0) as one, open(tcp / "clone", "r+b", buffering=0) as other:
        one.write(b"announce 127.0.0.1:7107")
        other.write(b"announce 127.0.0.2:7107")
        assert refused(tcp / ":7107", os.O_RDONLY)[0] == errno.EADDRINUSE
        os.close(opened(tcp / "127.0.0.2:7107"))


def test_listen_gives_a_ctl_for_each_peer(tcp: Path, family: Family) -> None:
    with open(tcp / "clone", "r+b", buffering=0) as ctl:
        number = ctl.read(20).decode().strip()
        ctl.write(b"announce :7108")
        with ThreadPoolExecutor(3) as pool:
            waiting = [pool.submit(open, tcp / number / "listen", "r+b", buffering=0) for _ in range(3)]
            clients = [opened(tcp / family.lo.at(7108)) for _ in range(3)]
            ctls = [each.result(10) for each in waiting]
        names = [each.read(20).decode().strip() for each in ctls]
        remotes = {(tcp / name / "remote").read_text().strip() for name in names}
        assert len(remotes) == 3
        for each in (*ctls, *clients):
            os.close(each) if isinstance(each, int) else each.close()


def test_a_connection_that_is_not_opened_lasts_as_long_as_its_listener(tcp: Path, family: Family) -> None:
    listener = opened(tcp / ":7109", os.O_RDONLY)
    client = opened(tcp / family.lo.at(7109))
    os.write(client, b"early words")
    number = os.read(listener, 100).split()[0].decode()
    assert (tcp / number / "status").read_text().startswith("state=ESTABLISHED")
    with open(tcp / number / "rx", "rb", buffering=0) as rx:
        assert rx.read(100) == b"early words"
    os.close(client)
    os.close(listener)


@pytest.mark.needs("root")
def test_another_user_may_neither_take_a_low_port_nor_anothers_connection(tcp: Path, family: Family) -> None:
    listener = opened(tcp / ":7110", os.O_RDONLY)
    client = opened(tcp / family.lo.at(7110))
    number = os.read(listener, 100).split()[0].decode()
    for path, complaint in ((":80", "Permission denied"), (f"{number}/data", "Permission denied")):
        script = f"exec 3<>{tcp}/{path}"
        done = subprocess.run(
            ["setpriv", "--reuid=65534", "--clear-groups", "sh", "-c", script],
            capture_output=True,
            text=True,
            timeout=10,
        )
        assert complaint in done.stderr
    os.close(client)
    os.close(listener)


@pytest.mark.parametrize("verb", ["close", "hangup"])
def test_a_ctl_ends_the_listener_and_wakes_those_that_wait(verb: str, tcp: Path) -> None:
    with open(tcp / "clone", "r+b", buffering=0) as ctl:
        number = ctl.read(20).decode().strip()
        ctl.write(b"announce :7111")
        failures: list[OSError] = []

        def wait() -> None:
            try:
                os.close(opened(tcp / number / "listen"))
            except OSError as error:
                failures.append(error)

        waiter = threading.Thread(target=wait)
        waiter.start()
        ctl.write(verb.encode())
        waiter.join(5)
        assert not waiter.is_alive()
    # ENOENT when the verb was faster than the open's lookup.
    assert [failure.errno in (errno.ENOTCONN, errno.ENOENT) for failure in failures] == [True]


def test_a_reader_of_a_listener_that_was_ended_gets_end_of_file(tcp: Path, family: Family) -> None:
    listener = opened(tcp / ":7112", os.O_RDONLY)
    name = os.getxattr(listener, "user.conversation").decode()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(os.read, listener, 100)
        (tcp.parent / name / "ctl").write_text("close")
        assert reading.result(5) == b""
    assert refused(tcp / family.lo.at(7112))[0] == errno.ECONNREFUSED
    os.close(listener)
