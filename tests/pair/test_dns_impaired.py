"""dns over an impaired path, many seeds: each open ends with the right answer or ETIMEDOUT, and leaves nothing."""

from __future__ import annotations

import errno
import os

import dns.flags
import pytest

from schemefs.errors import SchemeError
from schemefs.testing.wire import WireImpairment
from tests.support.dns_host import DnsHost, Query, Server, reply

IMPAIRMENT = WireImpairment(loss=0.2, duplication=0.1, corruption=0.05, reordering=0.2, delay=0.05, jitter=0.05)
LONGEST = 40.0  # seconds: two servers, seven seconds each, and their exchanges over TCP


def answers(server: Server, query: Query) -> None:
    name = query.question[0].name.to_text(omit_final_dot=True)
    message = reply(
        query, f"{name} 60 IN CNAME example.com.", *[f"example.com 60 IN A 10.9.0.{n}" for n in range(1, 9)]
    )
    if name.startswith("long"):
        message = reply(query)
        message.flags |= dns.flags.TC
    server.sends(message)


@pytest.mark.parametrize("seed", range(40))
def test_every_open_ends_and_nothing_is_left(seed: int) -> None:
    host = DnsHost(answers, answers, seed=seed, impairment=IMPAIRMENT)
    names = ["a.com", "b.com", "example.com", "long.com"]
    handles = [host.open(f"dns/{name}", os.O_NONBLOCK) for name in names]
    found = 0
    for handle in handles:
        try:
            host.opened(handle, LONGEST)
        except SchemeError as error:
            assert error.errno == errno.ETIMEDOUT, (seed, error)
        else:
            text = bytes(handle.read(65536, host.now) or b"")  # type: ignore[arg-type]
            assert len(text.splitlines()) in (8, 300, 0), seed
            found += 1
        handle.close(host.now)
    assert found, seed
    host.passes(1000.0)
    assert host.stats().get("under_way", 0) == 0
    assert not list(host.udp.udp.ports)
    assert not host.tcp.tcp.connections, seed
    assert host.timers.failed == 0
