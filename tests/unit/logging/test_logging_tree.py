"""The logs as files: what is listed, that it is followed, that a ring which appears later is there."""

import errno
import logging
import random

import pytest

from schemefs.config import Config
from schemefs.errors import SchemeError
from schemefs.log import TRACE, LogRings
from schemefs.names import Names
from schemefs.scheme import Caller, FollowedFile, SchemeContext, SymbolicLink
from schemefs.timers import Timers
from schemes.logging import LoggingScheme

ROOT = Caller(0)


@pytest.fixture
def logs():
    rings = LogRings(lambda: 12.5)
    logger = logging.getLogger("schemefs")
    level = logger.level
    yield rings
    rings.close()
    logger.setLevel(level)


@pytest.fixture
def scheme(logs):
    return LoggingScheme(SchemeContext(Timers(), random.Random(1), Config(), Names(), logs))


def names(scheme, path):
    return [name for name, _ in scheme.lookup(path, ROOT).list(ROOT)]


def test_the_log_is_there_and_has_redox_name_too(scheme):
    assert names(scheme, "") == ["README", "net", "err"]
    assert names(scheme, "net") == ["schemefs.log", "smolnetd.log"]
    log = scheme.lookup("net/schemefs.log", ROOT)
    assert isinstance(log, FollowedFile)
    assert scheme.lookup("net/schemefs.log", ROOT) is log
    link = scheme.lookup("net/smolnetd.log", ROOT)
    assert isinstance(link, SymbolicLink)
    assert link.target == "schemefs.log"


def test_what_is_logged_is_in_it_and_its_size_grows(scheme):
    log = scheme.lookup("net/schemefs.log", ROOT)
    logging.getLogger("schemefs").setLevel(TRACE)
    before = log.size
    logging.getLogger("schemefs.ip").log(TRACE, "ARP request for 10.0.2.2 (try %d)", 1)
    text, begin = log.ring.read(before, 4096)
    assert begin == before
    assert text == b"+0.000000 TRACE ip: ARP request for 10.0.2.2 (try 1)\n"
    assert log.size == before + len(text)


def test_a_ring_that_appears_later_is_listed(scheme, logs):
    with pytest.raises(SchemeError) as caught:
        scheme.lookup("net/virtio/eth0.log", ROOT)
    assert caught.value.errno == errno.ENOENT
    ring = logs.ring("virtio/eth0.log", "schemefs.virtio.eth0")
    assert names(scheme, "net") == ["schemefs.log", "virtio", "smolnetd.log"]
    assert names(scheme, "net/virtio") == ["eth0.log"]
    file = scheme.lookup("net/virtio/eth0.log", ROOT)
    assert file.ring is ring
    assert scheme.lookup("net/virtio/eth0.log", ROOT) is file
    logs.ring("virtio/eth1.log", "schemefs.virtio.eth1")
    assert names(scheme, "net/virtio") == ["eth0.log", "eth1.log"]
