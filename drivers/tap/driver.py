"""The TAP driver: creates or attaches the device, moves frames between it and the virtqueues, restores what it found.

    TAP ── readable ──> TapDevice.receive_burst ──interrupt──> VirtioNetLink ──> link.receive
    link.send ──> VirtioNetLink ──notify──> TapDevice.transmit ──> TAP

Three tasks: one waits for frames, one for room in the kernel's queue (only after it was full), one for the link's
deadline (only while a chain is in flight or a fault on purpose is timed). None has a periodic tick.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import math
import os
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface
from typing import TYPE_CHECKING, ClassVar

import trio

from drivers.tap import addressing, examination, host, tun, uplink
from drivers.tap.device import DeviceGoneError, TapDevice
from drivers.tap.options import DEFAULT_MTU, OPTIONS, check
from drivers.tap.reader_pause import let_readers_read
from drivers.tap.relay import Relay
from drivers.tap.tap_record import TapRecord
from drivers.virtio.net import VirtioNetLink
from schemefs.driver import Driver, DriverError, OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from schemefs.driver import DriverContext, Finding
    from schemefs.driver_option import DriverOption
    from schemefs.net.host_address import HostInterface


class TapDriver(Driver):
    """After `open`, `chosen_*` are the addresses in use: others than asked if the default subnet was in use."""

    name: ClassVar[str] = "tap"
    options: ClassVar[Sequence[DriverOption] | None] = OPTIONS

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        self.log = logging.getLogger(f"schemefs.virtio.{context.interface}")
        if context.logs is not None:
            context.logs.ring(f"virtio/{context.interface}.log", self.log.name)
        self._tap: str = self.context.options["tap"]
        self._mtu = context.mtu or DEFAULT_MTU
        self.chosen_address: IPv4Interface | None = None
        self.chosen_host_address: IPv4Interface | None = None
        self.chosen_host_address6: IPv6Interface | None = None
        self.chosen_gateway: IPv4Address | None = None  # only when the default subnet moved: the kernel's new address
        self.created = False
        self._fd = -1
        self._persistent = False
        self._record: TapRecord | None = None
        self._side: host.HostSide | None = None
        self._uplink = ""  # the TAP that the host forwards for
        self._relays: list[Relay] = []
        self._addresses: addressing.TapAddresses | None = None
        self._device: TapDevice | None = None
        self._link: VirtioNetLink | None = None
        self._blocked = trio.Event()
        self._posted = trio.Event()
        self._behind = trio.Event()
        self._earlier = trio.Event()

    @property
    def link(self) -> VirtioNetLink:
        """The link, once `open` has returned."""
        if self._link is None:
            message = "the TAP driver is not open"
            raise DriverError(message)
        return self._link

    @classmethod
    def examine(cls) -> Iterable[Finding]:
        """Look at /dev/net/tun, and for TAPs that a killed daemon has left set up."""
        return examination.examine()

    def open(self) -> None:
        """Create the TAP or attach to a persistent one, configure the kernel's side, start the queues."""
        fault = check(self.context)
        if fault:
            raise OptionError(fault)
        try:
            self._fd = tun.open_tun()
            self._choose_addresses()
            self._attach()
            theirs = [one for one in (self.chosen_host_address, self.chosen_host_address6) if one is not None]
            if theirs:
                self._configure_host(theirs)
            self._open_uplink()
            self._start_link()
            if self.created and self._side is not None and self.chosen_address6 is not None:
                mac = self.link.mac
                host.know(self._side.index, (self.chosen_address6.ip, _link_local(mac)), mac)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Restore the settings that were found, and detach from the TAP."""
        self._close_uplink()
        side, self._side = self._side, None
        record, self._record = self._record, None
        if side is not None and not self.created:
            try:
                host.restore(side)
            except (DriverError, OSError) as error:
                self.log.warning("the TAP %s could not be put back as it was found: %s", side.name, error)
            else:
                if record is not None:
                    record.remove()
        fd, self._fd = self._fd, -1
        if self._device is not None:
            self._device.detach()
        if fd >= 0:
            if self._persistent:
                tun.reset_offload(fd)
            os.close(fd)

    def _choose_addresses(self) -> None:
        """Refuse a subnet that this namespace uses already; move the default ones to free subnets."""
        found = self._addresses = addressing.choose(self.context, self._tap, self._mtu)
        self.chosen_address, self.chosen_host_address = found.ours, found.theirs
        self.chosen_address6, self.chosen_host_address6 = found.ours6, found.theirs6
        self.in_use = found.in_use
        if found.without_ipv6:
            self.lacks = f"no IPv6: {found.without_ipv6}"
            self.log.info("%s", self.lacks)
        if found.in_use:
            self.chosen_gateway = found.theirs.ip if found.theirs is not None else None
        if found.in_use or found.without_ipv6:
            self.chosen_options = {"host_address": found.theirs, "host_address6": found.theirs6}

    def _attach(self) -> None:
        tap = self._tap
        found = host.existing(tap)
        if found is not None:
            _refuse_other_kind(tap, found)
        try:
            tun.attach(self._fd, tap)
        except OSError as error:
            raise DriverError(_refusal(tap, error)) from error
        self._persistent = tun.is_persistent(self._fd)
        self.created = found is None
        self.log.info("%s the TAP %s", "created" if self.created else "attached to", tap)

    def _configure_host(self, addresses: Sequence[HostInterface]) -> None:
        record = TapRecord(self._tap)
        left_behind = record.read()
        if left_behind is not None:  # its writer is dead: a TAP has one owner, now this process
            host.restore(left_behind)
            record.remove()
        side = self._side = host.with_addresses(host.found(self._tap), addresses)
        if not self.created:
            self._record = record
            try:
                record.write(side)
            except OSError as error:
                self.log.warning("the settings of %s can't be recorded (%s): SIGKILL leaves ours", side.name, error)
        host.configure(side, self._mtu, ours=self.created)

    def _open_uplink(self) -> None:
        """Make the host forward for us, if `uplink` is on. The changes of a killed daemon are undone in any case."""
        uplink.end(self._tap)
        chosen = self._addresses
        if not self.context.options["uplink"] or chosen is None:
            return
        relays = addressing.relay_addresses(self.context, chosen)
        pairs = zip((chosen.theirs, chosen.theirs6), relays, strict=True)
        ends = [uplink.UplinkEnds(theirs.network, relay) for theirs, relay in pairs if theirs is not None]
        if not ends:
            return
        self._uplink = self._tap
        without_ipv6 = uplink.begin(self._tap, ends)
        if without_ipv6:
            ends = [end for end in ends if end.network.version == 4]
        self.log.info("the host forwards and masquerades for %s", " and ".join(str(end.network) for end in ends))
        if chosen.theirs6 is not None:
            self._use_uplink6(chosen.theirs6.ip, without_ipv6)
        for address in (end.relay_address for end in ends if end.relay_address is not None):
            try:
                self._relays.append(Relay(address, self._tap, self.context.options["resolver"]))
            except OSError as error:  # a name server of the host on all addresses answers at this one too
                self.log.warning("no relay answers for names at %s: %s", address, error.strerror)

    def _use_uplink6(self, gateway: IPv6Address, fault: str) -> None:
        """Say what is missing. Where only the host's own route is, there is a gateway: the route may come."""
        if not fault:
            self.chosen_gateway6 = gateway
            route_fault = host.route6_fault()
            fault = f"the host has no default route of its own: {route_fault}" if route_fault else ""
        if fault:
            self.lacks = f"no IPv6 beyond the host: {fault}"
            self.log.warning("%s", self.lacks)

    def _close_uplink(self) -> None:
        tap, self._uplink = self._uplink, ""
        while self._relays:
            self._relays.pop().close()
        if tap:
            try:
                uplink.end(tap)
            except (DriverError, OSError) as error:
                self.log.warning("the host still forwards for %s, which could not be put back: %s", tap, error)

    def _start_link(self) -> None:
        tap, mac = self._tap, self.context.mac
        header_length = tun.set_header_length(self._fd, self.log)
        features = tun.set_offload(self._fd, self.context.options["offload"], self.log)
        kernels = tun.hardware_address(tap)
        if mac == kernels:
            message = f"{kernels.hex(':')} is the kernel's own address on {tap}; ours must be another"
            raise DriverError(message)
        device = self._device = TapDevice(
            self._fd, features, header_length, self.log, on_blocked=self._on_blocked, on_posted=self._on_posted
        )
        link = self._link = VirtioNetLink(
            device,
            self.context.interface,
            mac=mac or _default_mac(tap, kernels),
            mtu=self._mtu,
            clock=_clock,
            on_behind=self._on_behind,
            on_earlier=self._on_earlier,
        )
        link.device = f"tap:{tap}"
        link.start()

    async def run(self) -> None:
        """Move frames until cancelled, or until the TAP is deleted."""
        device = self._device
        if device is None:
            message = "the TAP driver is not open"
            raise DriverError(message)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write_when_there_is_room, device)
            nursery.start_soon(self._keep_deadlines)
            for relay in self._relays:
                nursery.start_soon(relay.run)
            try:
                await self._receive(device)
            except DeviceGoneError as error:
                self.log.error("the TAP of %s is gone: %s", self.context.interface, error)  # noqa: TRY400 - expected
            nursery.cancel_scope.cancel()

    async def _receive(self, device: TapDevice) -> None:
        fd = self._fd
        turns = self.link.turns
        while True:
            await trio.lowlevel.wait_readable(fd)
            more = True
            while more:
                began = trio.current_time()
                more = device.receive_burst(began)
                if turns.are_due:
                    await let_readers_read(turns, trio.current_time() - began)
                elif more:
                    # One checkpoint (16-40 µs) for a burst: the readers that it woke run now.
                    await trio.lowlevel.checkpoint()
            if device.starved:
                self._posted = trio.Event()
                await self._posted.wait()

    def frame_descriptor(self) -> int:
        """Return the TAP, unless its frames have to wait for buffers or readers."""
        device = self._device
        waits = device is None or device.starved or self.link.turns.are_due
        return -1 if waits else self._fd

    def receive_now(self, now: float) -> None:
        """Receive one burst."""
        if self._device is not None:
            with suppress(DeviceGoneError):  # the task finds out, too
                self._device.receive_burst(now)

    async def _write_when_there_is_room(self, device: TapDevice) -> None:
        while True:
            await self._blocked.wait()
            self._blocked = trio.Event()
            await trio.lowlevel.wait_writable(self._fd)
            device.unblocked(trio.current_time())

    async def _keep_deadlines(self) -> None:
        link = self.link
        while True:
            await self._behind.wait()
            self._behind = trio.Event()
            while (deadline := link.next_deadline()) != math.inf:
                with trio.move_on_at(deadline):
                    await self._earlier.wait()
                self._earlier = trio.Event()
                link.on_deadline(trio.current_time())

    def _on_blocked(self) -> None:
        self._blocked.set()

    def _on_posted(self) -> None:
        self._posted.set()

    def _on_behind(self) -> None:
        self._behind.set()

    def _on_earlier(self) -> None:
        self._behind.set()
        self._earlier.set()


def _default_mac(tap: str, kernels: bytes) -> bytes:
    """Return a locally administered address that is the same each time for one TAP, and never the kernel's own."""
    mac = b"\x02" + hashlib.sha256(tap.encode()).digest()[:5]
    return mac if mac != kernels else mac[:5] + bytes([mac[5] ^ 1])


def _link_local(mac: bytes) -> IPv6Address:
    """Return the link-local address that our interface makes of its hardware address (RFC 4291 appendix A)."""
    return IPv6Address(b"\xfe\x80" + bytes(6) + bytes([mac[0] ^ 2]) + mac[1:3] + b"\xff\xfe" + mac[3:])


def _clock() -> float:
    try:
        return trio.current_time()
    except RuntimeError:  # statistics were read outside of the event loop: there is no age
        return -math.inf


def _refuse_other_kind(tap: str, found: host.ExistingLink) -> None:
    if not found.is_tap:
        message = f"the name {tap} is taken by a device that is no TAP ({found.kind or 'hardware'}); use another --tap"
        raise DriverError(message)
    if found.multi_queue:
        message = f"the TAP {tap} is a multi-queue one, which is not supported: make it without multi_queue"
        raise DriverError(message)


def _refusal(tap: str, error: OSError) -> str:
    if error.errno == errno.EBUSY:
        return f"the TAP {tap} is in use by another program; use another --tap"
    if error.errno in (errno.EPERM, errno.EACCES):
        return f"no permission to create or use the TAP {tap}: run as root, or try --driver loopback"
    return f"can't have the TAP {tap}: {error.strerror}"
