"""Programs that wait for many files at once, as people write them: asyncio, Trio, C with epoll; and a crowd."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from tests.support.crowd import Crowd
from tests.support.families import Family

pytestmark = pytest.mark.needs("fuse")

SETUP = """
import os, sys
PORT = {port}
listener = os.open(f'tcp/:{port}', os.O_RDWR)
clients = [os.open(f'tcp/[LO]:{port}', os.O_RDWR) for _ in range(5)]
servers = [os.open('tcp/' + os.read(listener, 100).split()[0].decode() + '/data', os.O_RDWR) for _ in clients]
"""

ASYNCIO = """
import asyncio
async def main():
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    seen = set()
    def echo(file):
        os.write(file, os.read(file, 100).upper())
    def take(file, number):
        assert os.read(file, 100) == b'HELLO %d' % number
        seen.add(number)
        loop.remove_reader(file)
        if len(seen) == len(clients): done.set()
    for file in servers: loop.add_reader(file, echo, file)
    for number, file in enumerate(clients):
        loop.add_reader(file, take, file, number)
        os.write(file, b'hello %d' % number)
    await asyncio.wait_for(done.wait(), 20)
asyncio.run(main())
"""

TRIO = """
import trio
async def echo(file):
    await trio.lowlevel.wait_readable(file)
    await trio.lowlevel.wait_writable(file)
    os.write(file, os.read(file, 100).upper())
async def ask(file, number, scope):
    os.write(file, b'hello %d' % number)
    await trio.lowlevel.wait_readable(file)
    assert os.read(file, 100) == b'HELLO %d' % number
async def main():
    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            for file in servers: nursery.start_soon(echo, file)
            for number, file in enumerate(clients): nursery.start_soon(ask, file, number, None)
trio.run(main)
"""

# Level, edge and one-shot: each with what must come, and what must not come a second time.
C_PROGRAM = r"""
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

static void check(int good, const char *what) {
    if (!good) { printf("%s: %s\n", what, strerror(errno)); exit(1); }
}

static unsigned happens(int poller, int timeout) {
    struct epoll_event event = {0};
    int count = epoll_wait(poller, &event, 1, timeout);
    check(count >= 0, "epoll_wait");
    return count ? event.events : 0;
}

static void watch(int poller, int how, int file, unsigned events) {
    struct epoll_event event = {.events = events};
    check(epoll_ctl(poller, how, file, &event) == 0, "epoll_ctl");
}

int main(int argc, char **argv) {
    char text[100];
    int a = open(argv[1], O_RDWR | O_NONBLOCK), b = open(argv[2], O_RDWR | O_NONBLOCK);
    int level = epoll_create1(0), edge = epoll_create1(0), once = epoll_create1(0);
    check(argc == 3 && a >= 0 && b >= 0, "open");
    watch(level, EPOLL_CTL_ADD, a, EPOLLIN);
    watch(edge, EPOLL_CTL_ADD, a, EPOLLIN | EPOLLET);
    watch(once, EPOLL_CTL_ADD, a, EPOLLIN | EPOLLONESHOT);
    check(!happens(level, 0) && !happens(edge, 0) && !happens(once, 0), "idle");
    check(write(b, "one", 3) == 3, "write");
    check(happens(level, 10000) == EPOLLIN && happens(level, 0) == EPOLLIN, "level stays");
    check(happens(edge, 10000) == EPOLLIN, "edge comes");
    check(!happens(edge, 50), "edge comes once");
    check(happens(once, 10000) == EPOLLIN && !happens(once, 50), "one shot is one");
    check(read(a, text, sizeof text) == 3 && read(a, text, sizeof text) == -1 && errno == EAGAIN, "read all");
    check(!happens(level, 0), "level falls");
    check(write(b, "two", 3) == 3, "write again");
    check(happens(edge, 10000) == EPOLLIN, "edge comes again");
    check(!happens(once, 50), "one shot stays off");
    watch(once, EPOLL_CTL_MOD, a, EPOLLIN | EPOLLONESHOT);
    check(happens(once, 10000) == EPOLLIN, "one shot armed again");
    watch(level, EPOLL_CTL_MOD, a, EPOLLIN | EPOLLRDHUP);
    close(b);
    while (happens(level, 10000) != (EPOLLIN | EPOLLRDHUP)) {}
    puts("as it should be");
    return 0;
}
"""


@pytest.mark.parametrize(("port", "program"), [(8101, ASYNCIO), (8102, TRIO)], ids=["asyncio", "trio"])
def test_an_event_loop_of_python(module_scheme_mount: SchemeMount, port: int, program: str, family: Family) -> None:
    code = family.fill(SETUP).replace("{port}", str(port)) + program
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=module_scheme_mount.path, check=False, capture_output=True, text=True,
        timeout=40,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.needs("gcc")
def test_a_c_program_with_epoll(module_scheme_mount: SchemeMount, tmp_path: Path, family: Family) -> None:
    source, program = tmp_path / "epoll.c", tmp_path / "epoll"
    source.write_text(C_PROGRAM)
    subprocess.run(["gcc", "-Wall", "-Werror", "-o", program, source], check=True, timeout=60)
    root = module_scheme_mount.path
    # The conversations are held by ctl files, so that the program's close of its end is a half-close of that end.
    listener = os.open(root / "tcp/:8103", os.O_RDWR)
    client = os.open(root / f"tcp/{family.lo.at(8103)}", os.O_RDWR)
    number = os.read(listener, 100).split()[0].decode()
    name = os.getxattr(client, "user.conversation").decode()
    done = subprocess.run(
        [program, root / name / "data", root / "tcp" / number / "data"], check=False, capture_output=True, text=True,
        timeout=40,
    )  # fmt: skip
    for file in (listener, client):
        os.close(file)
    assert done.stdout == "as it should be\n"


def test_two_thousand_readers_and_five_hundred_pollers_hold_up_nobody(scheme_mount: SchemeMount) -> None:
    alone = round_trips(scheme_mount.path)
    with Crowd(scheme_mount.path, 2000, 500):
        among = round_trips(scheme_mount.path)
    # How much slower is for the benchmark (tests/bench/studies/latency.py); here it is only that nothing waits behind.
    assert among < 10 * alone


def round_trips(path: Path) -> float:
    """Return the median time of opening and reading a text."""
    took = []
    for _ in range(200):
        began = time.perf_counter()
        (path / "README").read_bytes()
        took.append(time.perf_counter() - began)
    return statistics.median(took)
