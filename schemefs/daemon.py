"""The daemon: it starts the plugins around one clock, one `Timers` and one mount, and ends them in reverse order.

    drivers ──frames──> schemes (ip, tcp, …) <──calls── mount <── kernel <── cat
                            │
                          timers ── one task sleeps until the next deadline

It knows no protocol and no device: it reaches them through `plugins` only.
"""

from __future__ import annotations

import errno
import logging
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from schemefs import machine_secret, plugins
from schemefs.attachments import Attachments
from schemefs.call_soon import CallSoonQueue
from schemefs.collector import Collector
from schemefs.config import InterfaceConfig
from schemefs.driver import Driver, DriverError
from schemefs.errors import SchemeError, StartError
from schemefs.failures import ANY, Failures
from schemefs.fs.caller_files import MemoryCopy
from schemefs.fs.caller_process import process_of, program_of
from schemefs.fs.mount import Mount
from schemefs.held_octets import HeldOctets
from schemefs.idle_memory import IdleMemory
from schemefs.log import LogRings
from schemefs.log_file import LogFile
from schemefs.muted_events import MutedEvents
from schemefs.names import Names
from schemefs.net.zones import is_zoned, with_zone, zone_number
from schemefs.no_callback import no_callback
from schemefs.scheme import FailureFile, Scheme, SchemeContext, StaticDirectory, TextFile, Tree
from schemefs.shares import Shares
from schemefs.timers import Timers
from schemefs.worker_threads import WorkerThreads

if TYPE_CHECKING:
    from schemefs.config import Config
    from schemefs.net.host_address import HostAddress, HostInterface

log = logging.getLogger("schemefs.daemon")

ENDING: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
DRAIN: Final = 3.0  # seconds in which connections can close in order at the end of the mount
LOOPBACK_ONLY: Final = "lo 127.0.0.1/8 and ::1/128 only"  # in the ready line


def serve(
    config: Config,
    mount_point: Path,
    *,
    allow_other: bool,
    report: Callable[[str], None],
    load: Callable[[], plugins.Plugins] = plugins.load,
) -> int:
    """Mount, call *report* with one line when ready, and serve until unmounted or ended by a signal.

    *load* returns the plugins. StartError: the start failed, and nothing is left behind. Returns the exit status.
    """
    return trio.run(Daemon(config, mount_point, allow_other=allow_other, report=report, load=load).run)


class Daemon:
    """One network stack behind one mount."""

    def __init__(
        self,
        config: Config,
        mount_point: Path,
        *,
        allow_other: bool,
        report: Callable[[str], None],
        load: Callable[[], plugins.Plugins],
    ) -> None:
        self.config = config
        self.config.stable_secret = self.config.stable_secret or machine_secret.stable_secret()
        self.mount_point = mount_point
        self.allow_other = allow_other
        self.report = report
        self.load = load
        self.moved = ""  # for the ready line: why the subnet is not the default one
        self.lacks = ""  # for the ready line: what can't be had
        self.timers = Timers()
        self.muted_events = MutedEvents(self.timers, trio.current_time)
        self.callbacks = CallSoonQueue()
        self.collector = Collector()
        self.held = HeldOctets()
        self.pings_gateway = True  # else the ready line has another example
        self.devices: list[str] = []  # for the ready line: the devices of the interfaces except lo
        self.schemes: list[Scheme] = []
        self.tree = Tree()
        self.failures = Failures(process_of, trio.current_time)

    async def run(self) -> int:
        """Start, serve and end. Every step of the start is undone, whatever fails and however many signals arrive."""
        # Ending takes time, and a second signal must not leave a stale mount. The receiver restores this disposition
        # when it closes, and sends again the signals that it has not delivered: the default action would kill.
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)
        with trio.open_signal_receiver(*ENDING) as signals:
            await self._live(signals)
        return 0

    async def _live(self, signals: AsyncIterator[int]) -> None:
        with ExitStack() as undo:
            logs = LogRings(trio.current_time)
            undo.callback(logs.close)
            _start_logging(logs, self.config)
            found = self.load()
            self.config.tables = {name: driver.options for name, driver in found.drivers.items()}
            attachments = Attachments(found.drivers, logs, self.schemes, self.callbacks)
            undo.callback(attachments.close)
            self._open_drivers(attachments)
            self._make_schemes(found, logs, attachments)
            err = FailureFile(self.failures, ANY)
            places = {name: StaticDirectory({}) for name in self.config.directories}
            extra = {**places, "README": _readme(self.schemes, found.missing), "err": err}
            mount = Mount(
                self.schemes,
                extra,
                err,
                self.timers,
                self.callbacks,
                self._numbers,
                attachments.frame_sources,
                muted_events=self.muted_events,
            )
            self.tree.name_of = mount.operations.name_of
            mount.open(self.mount_point, allow_other=self.allow_other)
            undo.callback(mount.close)
            self.collector.start()
            undo.callback(self.collector.stop)
            await self._serve(mount, attachments, signals)

    def _open_drivers(self, attachments: Attachments) -> None:
        try:
            attachments.open(InterfaceConfig("lo", "loopback", None))
            for interface in self.config.interfaces:
                driver = attachments.open(interface)
                self.devices.append(driver.link.device)
                self.pings_gateway = self.pings_gateway and driver.link.carries_ping
                self._take_over_choice(driver, interface)
        except DriverError as error:
            raise StartError(str(error)) from error

    def _take_over_choice(self, driver: Driver, interface: InterfaceConfig) -> None:
        """Use the addresses that the driver has chosen because the default ones were in use, or can't be had."""
        config, asked, asked6 = self.config, interface.address, interface.address6
        interface.options |= driver.chosen_options
        self.lacks = f"; {driver.lacks}" if driver.lacks else self.lacks
        if driver.lacks and driver.chosen_address6 is None and interface.address6_may_move:
            interface.address6 = None
        if interface.is_by_command_line and config.gateway6 is None:
            config.gateway6 = driver.chosen_gateway6
        moves = ((asked, driver.chosen_address), (asked6, driver.chosen_address6))
        for before, after in moves:
            if before is None or after is None or before == after:
                continue
            config.nameservers = tuple(_moved(address, before, after) for address in config.nameservers)
            self.moved = f", because {driver.in_use or before.network} is in use here"
        if asked is not None and driver.chosen_address is not None:
            interface.address = driver.chosen_address
            config.gateway = driver.chosen_gateway or config.gateway
        if asked6 is not None and driver.chosen_address6 is not None:
            interface.address6 = driver.chosen_address6

    def _make_schemes(self, found: plugins.Plugins, logs: LogRings, attachments: Attachments) -> None:
        uid = Path("/proc/self").stat().st_uid
        self.held = HeldOctets(self.config.memory, (0, uid))
        context = SchemeContext(
            timers=self.timers,
            muted_events=self.muted_events,
            random=random.SystemRandom(),
            config=self.config,
            names=_names(self.config),
            logs=logs,
            uid=uid,
            shares=Shares((0, uid)),
            held=self.held,
            tree=self.tree,
            failures=self.failures,
            epoch=time.time() - trio.current_time(),
            attach=attachments.attach,
            detach=attachments.detach,
            execute=WorkerThreads(self.callbacks),
            memory_file=lambda: MemoryCopy(b""),
            program_of=program_of,
        )
        for scheme_class in found.schemes:
            scheme = _made(scheme_class, replace(context, services=dict(context.services)))
            context.services[scheme.name] = scheme.provides
            self.tree.schemes[scheme.name] = scheme
            self.schemes.append(scheme)
        try:
            attachments.show_all(trio.current_time())
        except SchemeError as error:
            raise StartError(error.sentence) from error

    async def _serve(self, mount: Mount, attachments: Attachments, signals: AsyncIterator[int]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._drive_timers, name="timers")
            nursery.start_soon(run_callbacks, self.callbacks, name="callbacks")
            nursery.start_soon(IdleMemory(self.collector).run, name="idle memory")
            attachments.start(nursery)
            nursery.start_soon(self._end_on_signal, signals, mount, nursery.cancel_scope, name="signals")
            line = self._ready_line()
            log.info("%s", line)
            self.report(line)
            await mount.serve()
            log.info("unmounted")
            await self._drain(mount)
            nursery.cancel_scope.cancel()

    async def _drive_timers(self) -> None:
        """Sleep until the next deadline, which may move to an earlier time meanwhile, and fire the timers; for ever."""
        timers = self.timers
        while True:
            with trio.CancelScope(deadline=timers.next_deadline()) as scope:
                timers.on_earlier = partial(_move, scope, timers)
                await trio.sleep_forever()
            timers.on_earlier = no_callback
            timers.on_deadline(trio.current_time())

    async def _end_on_signal(self, signals: AsyncIterator[int], mount: Mount, scope: trio.CancelScope) -> None:
        async for number in signals:
            log.info("ending on %s", signal.Signals(number).name)
            await self._drain(mount)
            scope.cancel()
            return

    async def _drain(self, mount: Mount) -> None:
        """Refuse new opens, end parked calls with ENOTCONN, have the connections close, then end the schemes."""
        mount.operations.closing = True
        mount.waiting.end_all()
        mount.operations.interrupted_opens.abandon_all(trio.current_time())
        deadline = trio.current_time() + DRAIN
        while [scheme for scheme in self.schemes if not scheme.shutdown(trio.current_time())]:
            if trio.current_time() >= deadline:
                log.warning("not every connection has closed within %s s", DRAIN)
                break
            await trio.sleep(DRAIN / 100)
        for scheme in self.schemes:
            scheme.ended(trio.current_time())

    def _numbers(self) -> Mapping[str, int]:
        """Return what `stats` of the mount shows beside the numbers of the mount itself."""
        collector, held, events = self.collector, self.held, self.muted_events
        return {
            "held": held.held,
            "held_limit": held.limit,
            "held_level": held.level,
            "collections": collector.collections,
            "longest_collection_us": round(collector.longest * 1e6),
            "muted_events": events.muted,
            "muted_events_found": events.found,
        }

    def _ready_line(self) -> str:
        described = [
            f"{interface.name} {_addresses(interface) or 'without address'} on {_device(device)}"
            for device, interface in zip(self.devices, self.config.interfaces, strict=True)
        ]
        gateways = [one for one in (self.config.gateway, self.config.gateway6) if one is not None]
        if gateways:
            described.append(f"gateway {' and '.join(map(str, gateways))}{self.moved}")
        pinged = [one for one in gateways if self.pings_gateway and not is_zoned(one.packed)]
        target = pinged[0] if pinged else "127.0.0.1"
        reason = f"; {self.config.driver_reason}" if self.config.driver_reason else ""
        return (
            f"mounted {self.mount_point} ({', '.join(described) or LOOPBACK_ONLY}{self.lacks}{reason}). "
            f"Try: cat {self.mount_point}/icmp/ping/{target},count=3"
        )


async def run_callbacks(callbacks: CallSoonQueue) -> None:
    """Run the callbacks that no call of the mount runs itself; until cancelled."""
    while True:
        if callbacks:
            callbacks.run(trio.current_time())
            await trio.lowlevel.checkpoint()
        else:
            woken = trio.Event()
            callbacks.wake = woken.set
            await woken.wait()


def _made(scheme_class: type[Scheme], context: SchemeContext) -> Scheme:
    """Return the scheme. StartError: its constructor fails; the log has the traceback."""
    try:
        return scheme_class(context)
    except Exception as error:
        log.exception("the constructor of the scheme %s failed", scheme_class.name)
        what = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise StartError(f"the scheme {scheme_class.name!r} can't be made: {what}") from error


def _device(text: str) -> str:
    """Return `TAP schemefs0` for `tap:schemefs0`."""
    kind, _, name = text.partition(":")
    return f"{kind.upper()} {name}"


def _addresses(interface: InterfaceConfig) -> str:
    """Return the first address of each family, joined by `and`."""
    return " and ".join(str(address) for address in (interface.address, interface.address6) if address is not None)


def _moved(address: HostAddress, before: HostInterface, after: HostInterface) -> HostAddress:
    """Return *address* at its place in the network of *after*, if it was in that of *before*."""
    if address not in before.network:
        return address
    return after.network[int(address) - int(before.network.network_address)]


def _move(scope: trio.CancelScope, timers: Timers) -> None:
    scope.deadline = timers.next_deadline()


def _start_logging(logs: LogRings, config: Config) -> None:
    logging.getLogger("schemefs").setLevel(config.log_level)
    logs.ring("schemefs.log", "schemefs")
    if config.log_file:
        try:
            handler = LogFile(config.log_file)
        except OSError as error:
            why = "a FIFO that no process reads" if error.errno == errno.ENXIO else error.strerror
            message = f"the log file {config.log_file} can't be written: {why}"
            raise StartError(message) from error
        logs.add_handler(handler)


def _names(config: Config) -> Names:
    """Return the names of the host's own files, read once: afterwards names are edited through netcfg."""
    names = Names(_text(config.hosts_file), _text(config.services_file))
    zone = zone_number(config.interfaces[0].name) if config.interfaces else 0
    names.nameservers = tuple(with_zone(address.packed, zone) for address in config.nameservers)
    return names


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError as error:
        log.warning("%s can't be read and counts as empty: %s", path, error.strerror)
        return ""


def _readme(schemes: list[Scheme], missing: Mapping[str, str]) -> TextFile:
    lines = ["The network as files. Each directory is a scheme; each has a README.", ""]
    lines += [f"{scheme.name + '/':10} {_summary(type(scheme))}" for scheme in schemes]
    lines.append(f"{'err':10} Why the last call of the reading process failed, in any scheme; tcp/err: in tcp only.")
    lines += [f"{name}: not available: {reason}" for name, reason in missing.items()]
    text = "\n".join(lines) + "\n"
    return TextFile(lambda: text)


def _summary(scheme: type[Scheme]) -> str:
    return (scheme.__doc__ or "").partition("\n")[0]
