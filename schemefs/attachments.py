"""The drivers in use, one per interface: opened, shown to the schemes, run, and removed, at any time.

    attach   open the device ──> every scheme gets the link ──> its task runs
    detach   every scheme removes the link ──> the task is cancelled ──> the device is restored
    a device that is deleted while in use ends its task: the interface is detached

No protocol and no configuration file here: an InterfaceConfig describes what to attach.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import trio

from schemefs.driver import DriverContext, DriverError, OptionError
from schemefs.driver_option import as_keys
from schemefs.errors import SchemeError, out_of_descriptors

if TYPE_CHECKING:
    from schemefs.call_soon import CallSoonQueue
    from schemefs.config import InterfaceConfig
    from schemefs.driver import Driver
    from schemefs.log import LogRings
    from schemefs.scheme import Scheme

log = logging.getLogger("schemefs.daemon")

FD_SETSIZE: Final = 1024  # select(2) takes no higher descriptor


@dataclass(slots=True)
class _Attachment:
    config: InterfaceConfig
    driver: Driver
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    is_shown: bool = False  # the schemes have the link


class Attachments:
    """The drivers by the name of their interface, in order of attachment."""

    def __init__(
        self, drivers: Mapping[str, type[Driver]], logs: LogRings, schemes: Sequence[Scheme], callbacks: CallSoonQueue
    ) -> None:
        """*drivers*: the plugins. *schemes* may still grow until `show_all`."""
        self._drivers = drivers
        self._logs = logs
        self._callbacks = callbacks
        self._schemes = schemes
        self._attached: dict[str, _Attachment] = {}
        self._nursery: trio.Nursery | None = None

    def open(self, config: InterfaceConfig) -> Driver:
        """Open the device that *config* names. DriverError: it can't be had; nothing is left behind."""
        driver_class = self._drivers.get(config.driver)
        if driver_class is None:
            message = f"there is no driver {config.driver!r}; there are: {', '.join(self._drivers)}"
            raise DriverError(message)
        driver = driver_class(
            DriverContext(
                interface=config.name,
                options=config.options,
                logs=self._logs,
                call_soon=self._callbacks.call_soon,
                address=config.address,
                address_may_move=config.address_may_move,
                mac=config.mac,
                mtu=config.mtu,
                nameserver=config.nameserver,
                address6=config.address6,
                address6_may_move=config.address6_may_move,
                nameserver6=config.nameserver6,
            )
        )
        try:
            driver.open()
        except DriverError as error:
            if config.is_by_command_line:
                raise
            raise type(error)(as_keys(str(error), driver_class.options)) from error
        driver.link.name = config.name
        self._attached[config.name] = _Attachment(config, driver)
        return driver

    def show_all(self, now: float) -> None:
        """Give the schemes the links that were opened before the schemes existed."""
        for attachment in self._attached.values():
            self._show(attachment, now)

    def start(self, nursery: trio.Nursery) -> None:
        """Run the drivers in *nursery*, also those that are attached later."""
        self._nursery = nursery
        for attachment in self._attached.values():
            nursery.start_soon(self._run, attachment, name=attachment.config.name)

    def attach(self, config: InterfaceConfig, now: float) -> None:
        """Add an interface while running.

        EEXIST: there is one of that name; EINVAL: an option is bad; ENODEV: the device can't be had; EMFILE: no file
        descriptor is left. Another error: a scheme refuses the link.
        """
        if config.name in self._attached:
            raise SchemeError(errno.EEXIST, f"there is an interface {config.name} already")
        try:
            self.open(config)
        except OptionError as error:
            raise SchemeError(errno.EINVAL, str(error)) from None
        except (DriverError, OSError) as error:
            if (refusal := out_of_descriptors(error)) is not None:
                raise refusal from None
            if isinstance(error, OSError):
                raise
            raise SchemeError(errno.ENODEV, str(error)) from None
        attachment = self._attached[config.name]
        try:
            self._show(attachment, now)
        except SchemeError:
            self.detach(config.name, now)
            raise
        if self._nursery is not None:
            self._nursery.start_soon(self._run, attachment, name=config.name)
        log.info("%s is attached to %s", config.name, attachment.driver.link.device)

    def detach(self, name: str, now: float) -> None:
        """Remove an interface while running, and restore its device. ENODEV: there is no interface of that name."""
        attachment = self._attached.pop(name, None)
        if attachment is None:
            raise SchemeError(errno.ENODEV, f"there is no interface {name!r}")
        if attachment.is_shown:
            for scheme in reversed(self._schemes):
                scheme.link_detached(attachment.driver.link, now)
        # Cancelling removes a waiting task from epoll at once: no task waits for the descriptor when it is closed.
        attachment.scope.cancel()
        attachment.driver.close()
        log.info("%s is detached", name)

    def frame_sources(self) -> Mapping[int, Callable[[float], None]] | None:
        """Return the descriptors that frames come from, with what receives them. None: select(2) can't wait for all."""
        found = {}
        for attachment in self._attached.values():
            descriptor = attachment.driver.frame_descriptor()
            if descriptor is None or descriptor >= FD_SETSIZE:
                return None
            if descriptor >= 0:
                found[descriptor] = attachment.driver.receive_now
        return found

    def close(self) -> None:
        """Restore every device at the daemon's end. The schemes have ended before, and are not called."""
        for attachment in reversed(self._attached.values()):
            attachment.driver.close()
        self._attached.clear()

    def _show(self, attachment: _Attachment, now: float) -> None:
        attachment.is_shown = True
        for scheme in self._schemes:
            scheme.link_attached(attachment.driver.link, now)

    async def _run(self, attachment: _Attachment) -> None:
        name = attachment.config.name
        with attachment.scope:
            if attachment.scope.cancel_called:  # detached before it began
                return
            try:
                await attachment.driver.run()
            except Exception as error:
                if self._attached.get(name) is attachment:
                    raise
                log.debug("the driver of %s failed on its closed device: %s", name, error)
            if self._attached.get(name) is attachment:  # the device is gone, and the interface was not detached
                log.warning("%s has lost its device %s", name, attachment.driver.link.device)
                self.detach(name, trio.current_time())
