"""`config`: all that netcfg configures as one text. A read shows the present state, a write is the new one.

    text ──> Document ──> a Plan, checked as a whole ──> what differs is changed, in this order:
             interfaces, removed addresses, new addresses, routes, neighbors, forwarding, log levels, names

If a step fails, the steps before it are undone: the document of the state before is carried out. Writing the text that
was read changes nothing, and affects no connection.
"""

from __future__ import annotations

import errno
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from schemefs.document import LOOPBACK, LOOPBACK_DRIVER, Document, InterfaceDocument, parse, text_of
from schemefs.errors import SchemeError
from schemefs.held_octets import limit_text
from schemefs.net.addresses import mac_text, presentation
from schemes.netcfg.advertised import advertised_line, settings_text
from schemes.netcfg.log_levels import current_levels
from schemes.netcfg.plan import Plan
from schemes.netcfg.rendering import rule_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from schemefs.driver_option import Tables
    from schemefs.net.network_configuration import Interface
    from schemefs.net.network_layer import NetworkLayer
    from schemefs.scheme import SchemeContext
    from schemes.netcfg.dhcp import Dhcp

log = logging.getLogger("schemefs.netcfg")


class Configuration:
    """The running configuration as a document. *levels_changed* is called after a change of log levels."""

    def __init__(
        self, context: SchemeContext, network: NetworkLayer, dhcp: Dhcp, levels_changed: Callable[[], None]
    ) -> None:
        self._context = context
        self._dhcp = dhcp
        self._network = network
        self._levels_changed = levels_changed

    @property
    def tables(self) -> Tables:
        """The options of the drivers that are there."""
        return self._context.config.tables

    def text(self) -> str:
        """Return the present state as TOML."""
        return text_of(self.current(), self.tables)

    def apply(self, text: str, now: float) -> None:
        """Put *text* in force. SchemeError: nothing of it is in force, and the state before is restored."""
        try:
            document = parse(text, self.tables)
        except ValueError as error:
            raise SchemeError(errno.EINVAL, str(error)) from None
        self.apply_document(document, now)

    def apply_document(self, document: Document, now: float) -> None:
        """Put *document* in force, all of it or nothing."""
        try:
            plan = Plan(document, self._context, self._network, self._dhcp)
        except ValueError as error:
            raise SchemeError(errno.EINVAL, str(error)) from None
        before = self.current()
        try:
            self._carry_out(plan, before, now)
        except SchemeError:
            try:
                self._carry_out(Plan(before, self._context, self._network, self._dhcp), self.current(), now)
            except (SchemeError, ValueError) as error:
                log.error("the configuration could not be put back as it was: %s", error)  # noqa: TRY400 - no fault here
            raise

    def add_interface(self, name: str, interface: InterfaceDocument, now: float) -> None:
        """Add an interface. EEXIST: there is one of that name. Other errors as `apply`: all of it or nothing."""
        current = self.current()
        if name in current.interfaces:
            raise SchemeError(errno.EEXIST, f"there is an interface {name} already")
        self.apply_document(replace(current, interfaces={**current.interfaces, name: interface}), now)

    def current(self) -> Document:
        """Return the present state as a document."""
        names = self._context.names
        interfaces = self._network.interfaces.values()
        return Document(
            nameservers=tuple(map(presentation, self._dhcp.nameservers.configured)),
            search=tuple(self._dhcp.search.configured),
            hosts=tuple(names.hosts.splitlines()),
            hostname=self._dhcp.hostname,
            forward=self._network.forwarding,
            memory=limit_text(self._context.held.limit),
            routes=tuple(
                rule_line(rule)
                for rule in self._network.routes.list()
                if not (rule.connected or rule.learned) and not self._dhcp.is_leased_route(rule)
            ),
            interfaces={interface.name: self._interface(interface) for interface in interfaces},
            log=current_levels(),
        )

    def _interface(self, interface: Interface) -> InterfaceDocument:
        router = interface.autoconfigured.advertised
        described = InterfaceDocument(
            driver=LOOPBACK_DRIVER,
            mac=mac_text(interface.mac) if interface.mac else "",
            mtu=self._dhcp.configured_mtu(interface),
            state="up" if interface.is_up else "down",
            dhcp=self._dhcp.client(interface.name) is not None,
            addresses=tuple(
                f"{presentation(address)}/{length}"
                for address, length in interface.configured
                if not self._dhcp.is_leased(interface.name, address)
            ),
            neighbors=tuple(
                f"{presentation(entry.address)} {mac_text(entry.mac, '-')}"
                for entry in interface.neighbors()
                if entry.state == "PERMANENT"
            ),
            impair=tuple(map(str, interface.impairments)),
            ra=settings_text(interface.autoconfigured),
            advertise=advertised_line(router) if router is not None else "",
        )
        for config in self._context.config.interfaces:
            if config.name == interface.name:
                described = replace(described, driver=config.driver, options=dict(config.options))
        return described

    def _carry_out(self, plan: Plan, before: Document, now: float) -> None:
        document, context = plan.document, self._context
        for name, interface in before.interfaces.items():
            wanted = document.interfaces.get(name)
            if name != LOOPBACK and (wanted is None or wanted.device != interface.device):
                context.detach(name, now)
        for name in document.interfaces:
            if name not in self._network.interfaces:
                context.attach(plan.interfaces[name], now)
                context.config.interfaces.append(plan.interfaces[name])
        plan.carry_out(now)
        try:
            plan.set_names(before)
        except ValueError as error:
            raise SchemeError(errno.EINVAL, str(error)) from None
        if current_levels() != before.log:
            self._levels_changed()
