"""The directory of a protocol; its README is made from the declarations. Below it are the numbered directories.

tcp/README  stats  err  clone  <address>[,option…]  <n>/
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, TypeGuard, cast

from schemefs.conversation.captures import KEYS, ConversationCaptures
from schemefs.conversation.connecting import Connecting
from schemefs.conversation.control import Control
from schemefs.conversation.directory import ConversationDirectory, Parts, lines
from schemefs.conversation.event_log import opened
from schemefs.conversation.function_file import FunctionFile
from schemefs.conversation.handles import (
    AcceptHandle,
    CtlHandle,
    DataHandle,
    ListenerHandle,
    access_of,
)
from schemefs.conversation.help import readme
from schemefs.conversation.options import ACCEPT, options_of, parse_with_options
from schemefs.conversation.protocol import ConversationProtocol
from schemefs.conversation.settings import settings_of
from schemefs.conversation.table import ConversationTable
from schemefs.conversation.use import Use, use_of
from schemefs.errors import SchemeError
from schemefs.net.addresses import AddressPath, HostPort, parse_host_port, parse_seconds, presentation
from schemefs.scheme import (
    Caller,
    Directory,
    Event,
    FilesWanted,
    Handle,
    Node,
    Scheme,
    SchemeContext,
    TextFile,
)

if TYPE_CHECKING:
    from schemefs.conversation.conversation import Conversation
    from schemefs.conversation.protocol import Engine, ListenerEngine

ENDED_EVENTS: Final = "events.log"  # with --record-events, the last events of conversations that have ended


class ConversationScheme(Scheme):
    """A scheme that is a directory of conversations. A subclass gives the constructor its protocol."""

    def __init__(self, context: SchemeContext, protocol: ConversationProtocol) -> None:
        super().__init__(context)
        self.protocol = protocol
        place = protocol.place or protocol.name
        ended = context.logs.ring(ENDED_EVENTS, "schemefs.ended") if context.config.record_events else None
        if ended is not None:
            ended.is_private = True
        self.conversations = ConversationTable(
            place,
            context.timers,
            protocol.forgotten,
            context.shares.conversations,
            context.held,
            datagrams=protocol.datagrams,
            ended=ended,
        )
        self._captures = ConversationCaptures(context, protocol)
        self.conversations.on_forgotten = self._captures.forget
        self.options = options_of(protocol)
        self.path_options = {**self.options, **ACCEPT} if protocol.ports else self.options
        self.control = Control(self._begin, self._announce, settings_of, protocol, context.program_of)
        self._listeners: dict[tuple[str, int], Conversation] = {}
        self.clone = FunctionFile(self.open_clone)
        self.root = _ProtocolDirectory(self)

    def shutdown(self, now: float) -> bool:
        """Close every conversation in order. True: all have ended."""
        return all([conversation.finish(now) for conversation in self.conversations])  # noqa: C419 - close every one

    def record_about(self, address: str, sentence: str, now: float) -> None:
        """Record *sentence* in `events` and `err` of each open conversation with the local *address*."""
        for conversation in self.conversations:
            side = conversation.engine or conversation.listener
            if side is not None and not conversation.has_ended and f"{side.local}:".startswith(f"{address}:"):
                conversation.log_event(now, sentence, "connectivity:address_lost", {"address": address})
                conversation.fail(sentence)

    # Nodes, for a scheme whose tree is not that of `tcp/`

    def conversation_directory(self, name: str) -> Directory:
        """Return the directory of the live conversation with that number. ENOENT: there is none."""
        conversation = self.conversations.get(int(name)) if name.isdecimal() and name.isascii() else None
        if conversation is None or str(conversation.number) != name:
            raise SchemeError(errno.ENOENT, f"there is no conversation {self.conversations.place}/{name}")
        return self.directory(conversation)

    def conversation_directories(self) -> Iterable[tuple[str, Node]]:
        """Yield the directories of the conversations that are live now, each made when it is asked for."""
        return ((str(conversation.number), self.directory(conversation)) for conversation in self.conversations)

    def address_file(self, text: str, mode: int = 0o666) -> Node:
        """Return the file that opens a conversation of an address with options. EINVAL: malformed."""
        address = self.parse(text)
        return FunctionFile(lambda flags, caller, now: self.open_address(address, flags, caller, now), mode=mode)

    # Addresses

    def parse(self, text: str, use: Use = Use.BOTH) -> AddressPath:
        """Parse and check an address with options. EINVAL: malformed.

        A verb of ctl gives *use*, CONNECT or LOCAL. A path may have `accept`; what it is for follows from the address.
        """
        options = self.path_options if use is Use.BOTH else self.options
        try:
            address = parse_with_options(text, self.protocol, options, use)
        except ValueError as error:
            raise SchemeError(errno.EINVAL, f"{self.protocol.name}/{text}: {error}") from None
        if self.conversations.ended is not None and "events" in options:
            return AddressPath(address.host_port, {**address.options, "events": ""})
        return address

    def _begin(self, conversation: Conversation, text: str, caller: Caller, now: float) -> None:
        address = self.parse(text, Use.CONNECT)
        self._require_files(address, caller)
        self._connect(conversation, address, caller, now)

    def _announce(self, conversation: Conversation, text: str, caller: Caller, now: float) -> None:
        address = self.parse("*:0" if text == "*" else text, Use.LOCAL)
        self._require_files(address, caller)
        self._listen(conversation, address, caller, now)

    def _require_files(self, address: AddressPath, caller: Caller) -> None:
        """Raise FilesWanted unless the mount has read, for *caller*, the files that options name."""
        options = [(self.path_options[name], value) for name, value in address.options.items()]
        names = [str(option.check(value)) for option, value in options if option.is_file]
        if not all(name in caller.files for name in names):
            raise FilesWanted(names)

    def _connect(self, conversation: Conversation, address: AddressPath, caller: Caller, now: float) -> None:
        if self.protocol.ports and not address.host_port.host:
            raise SchemeError(errno.EINVAL, "connect needs a host")
        self._apply_file_options(conversation, address)
        if KEYS in address.options:
            self._captures.keep(conversation)
        names = self.context.names
        if not self.protocol.hosts or len(names.known(address.host_port.host)) == 1:
            conversation.begin(self.protocol.connect(address, caller, now), now)
            return
        if self.protocol.ports:  # report an unknown service before the lookup
            names.port(address.host_port.port, self.protocol.name)

        def connect(destination: bytes, now: float) -> Engine:
            host_port = HostPort(presentation(destination), address.host_port.port)
            return self.protocol.connect(AddressPath(host_port, address.options), caller, now)

        connecting = Connecting(address.host_port.host, connect, conversation.begin, self.context.timers)
        conversation.begin(connecting, now)
        try:
            connecting.start(names, now, timeout=parse_seconds(address.options.get("timeout") or "0"), uid=caller.uid)
        except SchemeError:
            conversation.engine = None  # nothing has begun: a ctl may connect to another address
            raise

    def _listen(self, conversation: Conversation, address: AddressPath, caller: Caller, now: float) -> None:
        made: ListenerEngine | Engine = self.protocol.announce(address, caller, now)
        self._apply_file_options(conversation, address)
        if _is_listener(made):
            conversation.announce(made)
            self._listeners = {key: other for key, other in self._listeners.items() if not other.closed}
            self._listeners[_key(made)] = conversation
        else:
            conversation.announced = True
            conversation.begin(cast("Engine", made), now)

    def _apply_file_options(self, conversation: Conversation, address: AddressPath) -> None:
        # An option that is not in the address leaves what a ctl has set.
        if "events" in address.options:
            conversation.record()
        for name in ("read_timeout", "write_timeout"):
            if name in address.options:
                setattr(conversation, name, parse_seconds(address.options[name]))

    def _listener_at(self, address: AddressPath, caller: Caller) -> Conversation | None:
        """Return the listener of *caller*'s uid on that address and port, if there is one."""
        host, names = address.host_port.host, self.context.names
        port = names.port(address.host_port.port, self.protocol.name)
        for local in map(presentation, names.known(host)) if host else ("",):
            listener = self._listeners.get((local, port))
            if listener is not None and not listener.closed and listener.uid == caller.uid:
                return listener
        return None

    # Opening

    def open_address(self, address: AddressPath, flags: int, caller: Caller, now: float) -> Handle:
        """Open an address path: make a conversation and connect or listen."""
        self._require_files(address, caller)
        use = use_of(address, datagrams=self.protocol.datagrams)
        if use is Use.ACCEPT:
            return self._open_accept(address, flags, caller, now)
        conversation = self.conversations.make(caller.uid, caller.gid, now)
        conversation.from_address = True
        conversation.began_at = now
        conversation.made_by = caller.pid
        if "events" in address.options:
            conversation.record()
        if conversation.event_log is not None:
            conversation.event_log.log_event(now, *opened(caller, flags))
        try:
            if use is Use.CONNECT:
                self._connect(conversation, address, caller, now)
            else:
                self._listen(conversation, address, caller, now)
        except BaseException:
            self.conversations.forget(conversation)
            raise
        if conversation.listener is not None:
            return ListenerHandle(conversation, now, self.accept)
        reads, writes = access_of(flags)
        return DataHandle(conversation, now, reads=reads, writes=writes)

    def _open_accept(self, address: AddressPath, flags: int, caller: Caller, now: float) -> Handle:
        """Accept from this uid's listener on that port. If there is none, listen while an open waits."""
        listener = self._listener_at(address, caller)
        if listener is None:
            listener = self.conversations.make(caller.uid, caller.gid, now)
            try:
                self._listen(listener, address, caller, now)
            except BaseException:
                self.conversations.forget(listener)
                raise

        def accept(listening: Conversation, now: float) -> Conversation | None:
            accepted = self.accept(listening, now)
            if accepted is not None:  # the listener may have other options
                self._apply_file_options(accepted, address)
                self.protocol.configure(accepted.connected(), address)
            return accepted

        handle = AcceptHandle(listener, flags, caller, now, accept)
        handle.open_timeout = parse_seconds(address.options.get("read_timeout") or "0") or listener.read_timeout
        return handle

    def open_clone(self, _flags: int, caller: Caller, now: float) -> Handle:
        """Make a conversation that is not connected; the file is its ctl."""
        conversation = self.conversations.make(caller.uid, caller.gid, now)
        conversation.made_by = caller.pid
        return CtlHandle(conversation, now, self.control, caller.pid)

    def accept(self, listening: Conversation, now: float) -> Conversation | None:
        """Take the next connection of a listener as a conversation of the listener's owner. ENOTCONN: it has ended.

        EMFILE, as of accept(2): the owner has as many as are allowed; the connection waits on. It inherits the
        listener's time-outs, as on Linux, and records events if the listener does.
        """
        if listening.listener is None or listening.closed:
            raise SchemeError(errno.ENOTCONN, f"{listening.name} has stopped listening")
        if listening.listener.pending():
            self.conversations.share.require(listening.uid)
        engine = listening.listener.accept(now)
        listening.used(Event.IN)
        if engine is None:
            return None
        conversation = self.conversations.make(listening.uid, listening.gid, now)
        conversation.parent = listening
        conversation.accepted = True
        conversation.read_timeout, conversation.write_timeout = listening.read_timeout, listening.write_timeout
        if listening.event_log is not None:
            conversation.began_at = now
            conversation.record()
        listening.children.add(conversation)
        conversation.begin(engine, now)
        return conversation

    def directory(self, conversation: Conversation) -> Directory:
        """Return the numbered directory; it is the same object for the life of the conversation.

        A listing asks for those of conversations that have ended since it began: they refer to theirs no more.
        """
        directory = cast("ConversationDirectory | None", conversation.directory)
        if directory is None:
            parts = Parts(conversation, self.control, self.accept, self._captures.open)
            protocol = self.protocol
            directory = ConversationDirectory(parts, listens=protocol.ports, timed=protocol.timed)
            if self.conversations.get(conversation.number) is conversation:
                conversation.directory = directory
            else:
                directory.gone()
        return directory


def _key(listener: ListenerEngine) -> tuple[str, int]:
    """Return its address, empty for any, and its port."""
    local = parse_host_port(listener.local)
    return local.host, int(local.port)


def _is_listener(made: ListenerEngine | Engine) -> TypeGuard[ListenerEngine]:
    return hasattr(made, "accept")


class _ProtocolDirectory(Directory):
    """`tcp/`."""

    def __init__(self, scheme: ConversationScheme) -> None:
        self._scheme = scheme
        self._fixed: dict[str, Node] = {
            "README": TextFile(lambda: readme(scheme.protocol, scheme.path_options, type(scheme).__doc__ or "")),
            "stats": TextFile(lambda: lines(scheme.protocol.stats())),
            "err": scheme.err,
            "clone": scheme.clone,
        }

    def lookup(self, name: str, caller: Caller) -> Node:
        """Find a fixed name, a number or an address. An address is checked; no conversation is made."""
        scheme = self._scheme
        if name in self._fixed:
            return self._fixed[name]
        if name.isdecimal() and name.isascii():
            return scheme.conversation_directory(name)
        if ":" in name or "!" in name:
            return scheme.address_file(name)
        raise SchemeError(errno.ENOENT, f"there is no {name!r}; an address is HOST:PORT or :PORT")

    def list(self, caller: Caller) -> Iterable[tuple[str, Node]]:
        """Yield the fixed names and the live conversations."""
        yield from self._fixed.items()
        yield from self._scheme.conversation_directories()
