"""Interfaces come and go while the daemon runs: the order of the calls, and what is left after a failure."""

from __future__ import annotations

import errno

import pytest
import trio

from drivers.loopback.link import LoopbackLink
from schemefs.attachments import Attachments
from schemefs.call_soon import CallSoonQueue
from schemefs.config import InterfaceConfig
from schemefs.driver import Driver, DriverError
from schemefs.errors import SchemeError
from schemefs.log import LogRings


class PulledDriver(Driver):
    """A device in memory that ends its run when `pulled` is set."""

    name = "pulled"
    refuses = False

    def __init__(self, context):
        super().__init__(context)
        self.pulled = trio.Event()
        self.running = trio.Event()
        self.events = context.options["events"]
        self._link = LoopbackLink()

    @property
    def link(self):
        return self._link

    def open(self):
        if self.context.options.get("refuses"):
            raise DriverError("no such device; use another --address or --other")
        self.context.options["made"].append(self)

    async def run(self):
        self.running.set()
        await self.pulled.wait()

    def close(self):
        self.events.append(f"close {self.context.interface}")


class Watcher:
    def __init__(self, events, refuses=""):
        self.events, self.refuses = events, refuses

    def link_attached(self, link, now):
        self.events.append(f"attached {link.name}")
        if link.name == self.refuses:
            raise SchemeError(errno.EINVAL, "not this one")

    def link_detached(self, link, now):
        self.events.append(f"detached {link.name}")


class Place:
    def __init__(self, refuses=""):
        self.events, self.made = [], []
        schemes = [Watcher(self.events, refuses)]
        self.attachments = Attachments({"pulled": PulledDriver}, LogRings(lambda: 0.0), schemes, CallSoonQueue())

    def config(self, name, **more):
        return InterfaceConfig(name, "pulled", None, {"events": self.events, "made": self.made, **more})


async def test_one_that_is_attached_while_running_runs_and_is_put_back_when_detached():
    place = Place()
    async with trio.open_nursery() as nursery:
        place.attachments.start(nursery)
        place.attachments.attach(place.config("eth0"), 0.0)
        await place.made[0].running.wait()
        place.attachments.detach("eth0", 1.0)
    assert place.events == ["attached eth0", "detached eth0", "close eth0"]


def test_a_refusal_has_the_words_that_the_user_has_written():
    place = Place()
    config = place.config("eth0", refuses=True)
    with pytest.raises(DriverError, match="use another address or --other"):
        place.attachments.open(config)
    config.is_by_command_line = True
    with pytest.raises(DriverError, match="use another --address or --other"):
        place.attachments.open(config)


async def test_one_that_is_detached_before_its_task_begins_never_runs():
    place = Place()
    async with trio.open_nursery() as nursery:
        place.attachments.start(nursery)
        place.attachments.attach(place.config("eth0"), 0.0)
        place.attachments.detach("eth0", 0.0)
    assert not place.made[0].running.is_set()
    assert place.events == ["attached eth0", "detached eth0", "close eth0"]


async def test_a_device_that_vanishes_takes_its_interface_with_it_and_may_come_back():
    place = Place()
    async with trio.open_nursery() as nursery:
        place.attachments.start(nursery)
        place.attachments.attach(place.config("eth0"), 0.0)
        place.made[0].pulled.set()
        with trio.fail_after(5):
            while "close eth0" not in place.events:
                await trio.lowlevel.checkpoint()
        place.attachments.attach(place.config("eth0"), 2.0)
        await place.made[1].running.wait()
        nursery.cancel_scope.cancel()
    assert place.events == ["attached eth0", "detached eth0", "close eth0", "attached eth0"]


async def test_those_opened_first_are_shown_when_the_schemes_are_there():
    place = Place()
    place.attachments.open(place.config("lo"))
    place.attachments.open(place.config("eth0"))
    assert place.events == []
    place.attachments.show_all(0.0)
    assert place.events == ["attached lo", "attached eth0"]
    place.attachments.close()
    assert place.events[2:] == ["close eth0", "close lo"]


@pytest.mark.parametrize(
    ("config", "number", "words"),
    [
        (("eth0", {}), errno.EEXIST, "already"),
        (("eth1", {"refuses": True}), errno.ENODEV, "no such device"),
        (("eth2", {}), errno.EINVAL, "not this one"),
    ],
)
async def test_one_that_cannot_be_attached_leaves_nothing(config, number, words):
    place = Place(refuses="eth2")
    place.attachments.attach(place.config("eth0"), 0.0)
    place.events.clear()
    with pytest.raises(SchemeError, match=words) as caught:
        place.attachments.attach(place.config(config[0], **config[1]), 0.0)
    assert caught.value.errno == number
    assert place.events in ([], ["attached eth2", "detached eth2", "close eth2"])
    with pytest.raises(SchemeError, match="no interface"):
        place.attachments.detach("eth1", 0.0)


async def test_an_unknown_driver_is_named_with_those_there_are():
    place = Place()
    with pytest.raises(SchemeError, match="no driver 'tub'; there are: pulled"):
        place.attachments.attach(InterfaceConfig("eth0", "tub", None), 0.0)
