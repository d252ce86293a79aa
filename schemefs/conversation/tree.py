"""The directories of a protocol: what is in them is declared here once, and README is made from the declarations.

tcp/README  stats  err  clone  <address>[,option…]  <n>/
                                                      ctl data rx tx listen
                                                      local remote status status.json err events settings/
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Final, TypeGuard, cast

from schemefs.conversation.contract import ConversationProtocol, Option
from schemefs.conversation.control import Control
from schemefs.conversation.handles import (
    AcceptHandle,
    CtlHandle,
    DataHandle,
    ListenerHandle,
    ListenHandle,
    access_of,
)
from schemefs.conversation.help import WORDS, readme
from schemefs.conversation.journal import EventsFile
from schemefs.conversation.life import Conversation, Conversations
from schemefs.conversation.seeking import Seeking
from schemefs.conversation.settings import RAW, SettingFile, settings_of
from schemefs.errors import SchemeError
from schemefs.net.addresses import (
    AddressPath,
    Endpoint,
    parse_options,
    parse_seconds,
    presentation,
)
from schemefs.scheme import (
    Caller,
    Directory,
    Event,
    Handle,
    Node,
    Scheme,
    SchemeContext,
    StaticDirectory,
    StreamFile,
    TextFile,
)

if TYPE_CHECKING:
    from schemefs.conversation.contract import Engine, ListenerEngine

# Served by the files themselves, whatever the protocol.
FILE_OPTIONS: Final[Mapping[str, Option]] = {
    "events": Option(lambda _value: None, "keep `events` from the start, not only from when it is opened"),
    "accept": Option(lambda _value: None, "open waits for one connection and is its data"),
    "read_timeout": Option(parse_seconds, "seconds a blocking read waits before EAGAIN; 0: for ever"),
    "write_timeout": Option(parse_seconds, "seconds a blocking write waits before EAGAIN; 0: for ever"),
}


class _Stream(StreamFile):
    """A stream whose opening is a function: the tree below stays a list of names."""

    def __init__(
        self, opened: Callable[[int, Caller, float], Handle], *, mode: int = 0o666, uid: int = 0, gid: int = 0
    ) -> None:
        self._opened = opened
        self.mode = mode
        self.uid = uid
        self.gid = gid

    def open(self, flags: int, caller: Caller, now: float) -> Handle:
        """Open it."""
        return self._opened(flags, caller, now)


class ConversationScheme(Scheme):
    """A scheme that is a directory of conversations. A subclass names its protocol in `protocol_of`."""

    def __init__(self, context: SchemeContext, protocol: ConversationProtocol) -> None:
        super().__init__(context)
        self.protocol = protocol
        self.conversations = Conversations(protocol.place or protocol.name, context.alarm)
        self.options = {**FILE_OPTIONS, **protocol.options}
        if not protocol.ports:  # nobody can be waited for
            del self.options["accept"]
        self.control = Control(self._begin, self._announce, settings_of)
        self._listeners: dict[tuple[str, int], Conversation] = {}
        self.clone = _Stream(self.open_clone)
        self.root = _ProtocolDirectory(self)

    def shutdown(self, now: float) -> bool:
        """Close every conversation in order."""
        return all([conversation.finish(now) for conversation in self.conversations])  # noqa: C419 - close every one

    # Names, for whoever arranges them in another way than `tcp/`

    def numbered(self, name: str) -> Directory:
        """Return the directory of the live conversation with that number. ENOENT: there is none."""
        conversation = self.conversations.get(int(name)) if name.isdecimal() and name.isascii() else None
        if conversation is None or str(conversation.number) != name:
            raise SchemeError(errno.ENOENT, f"no conversation {self.conversations.protocol}/{name} lives")
        return self.directory(conversation)

    def all_numbered(self) -> Iterable[tuple[str, Node]]:
        """Yield the directories of the live conversations."""
        return [(str(conversation.number), self.directory(conversation)) for conversation in self.conversations]

    def address_file(self, text: str, mode: int = 0o666) -> Node:
        """Return what opens the conversation of an address with options. EINVAL: malformed."""
        address = self.parse(text)
        return _Stream(lambda flags, caller, now: self.open_address(address, flags, caller, now), mode=mode)

    # Addresses

    def parse(self, text: str) -> AddressPath:
        """Parse and check an address with options. EINVAL, with a sentence: malformed."""
        try:
            host, comma, rest = text.partition(",")
            address = AddressPath(self.protocol.parse(host), parse_options(rest) if comma else {})
            for name, value in address.options.items():
                option = self.options.get(name)
                if option is None:
                    message = f"there is no option {name!r}; there are: {', '.join(sorted(self.options))}"
                    raise ValueError(message)
                option.check(value)
        except ValueError as error:
            raise SchemeError(errno.EINVAL, f"{self.protocol.name}/{text}: {error}") from None
        return address

    def _begin(self, conversation: Conversation, text: str, caller: Caller, now: float) -> None:
        self._connect(conversation, self.parse(text), caller, now)

    def _announce(self, conversation: Conversation, text: str, caller: Caller, now: float) -> None:
        self._listen(conversation, self.parse(text if text != "*" else "*:0"), caller, now)

    def _connect(self, conversation: Conversation, address: AddressPath, caller: Caller, now: float) -> None:
        if self.protocol.ports and not address.endpoint.host:
            raise SchemeError(errno.EINVAL, "connect to whom? the address has no host")
        self._apply_timeouts(conversation, address)
        names = self.context.names
        if not self.protocol.hosts or len(names.known(address.endpoint.host)) == 1:
            conversation.begin(self.protocol.connect(address, caller, now), now)
            return
        if self.protocol.ports:  # a bad one is said before anybody is asked for the host
            names.port(address.endpoint.port, self.protocol.name)

        def connect(destination: bytes, now: float) -> Engine:
            endpoint = Endpoint(presentation(destination), address.endpoint.port)
            return self.protocol.connect(AddressPath(endpoint, address.options), caller, now)

        seeking = Seeking(address.endpoint.host, connect, conversation.begin, self.context.alarm)
        conversation.begin(seeking, now)
        try:
            seeking.start(names, now, timeout=parse_seconds(address.options.get("timeout") or "0"))
        except SchemeError:
            conversation.engine = None  # as if nothing had begun: a ctl may try another address
            raise

    def _listen(self, conversation: Conversation, address: AddressPath, caller: Caller, now: float) -> None:
        made: ListenerEngine | Engine = self.protocol.announce(address, caller, now)
        self._apply_timeouts(conversation, address)
        if _is_listener(made):
            conversation.announce(made)
            self._listeners = {key: other for key, other in self._listeners.items() if not other.closed}
            self._listeners[self._listener_key(address)] = conversation
        else:
            conversation.begin(cast("Engine", made), now)

    def _apply_timeouts(self, conversation: Conversation, address: AddressPath) -> None:
        # What ctl has set before stays unless the address says otherwise.
        for name in ("read_timeout", "write_timeout"):
            if name in address.options:
                setattr(conversation, name, parse_seconds(address.options[name]))

    def _listener_key(self, address: AddressPath) -> tuple[str, int]:
        return address.endpoint.host, self.context.names.port(address.endpoint.port, self.protocol.name)

    # Opening

    def open_address(self, address: AddressPath, flags: int, caller: Caller, now: float) -> Handle:
        """Make the conversation an address path stands for."""
        if "accept" in address.options:
            return self._open_accept(address, flags, caller, now)
        conversation = self.conversations.make(caller.uid, caller.gid)
        conversation.unnamed = True
        conversation.began_at = now
        if "events" in address.options:
            conversation.record().note(now, f"open pid {caller.pid}")
        try:
            if address.endpoint.host or not self.protocol.ports:
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
        """Take from this uid's listener on that port, else listen for as long as somebody waits."""
        key = self._listener_key(address)
        listener = self._listeners.get(key) if key[1] else None  # port 0 is one of its own each time
        if listener is None or listener.closed or listener.uid != caller.uid:
            listener = self.conversations.make(caller.uid, caller.gid)
            try:
                self._listen(listener, address, caller, now)
            except BaseException:
                self.conversations.forget(listener)
                raise
        return AcceptHandle(listener, flags, now, self.accept)

    def open_clone(self, _flags: int, caller: Caller, now: float) -> Handle:
        """Make a conversation that does nothing yet; the file is its ctl."""
        return CtlHandle(self.conversations.make(caller.uid, caller.gid), now, self.control)

    def accept(self, listening: Conversation, now: float) -> Conversation | None:
        """Take the next connection of a listener as a conversation of the listener's owner. ENOTCONN: it has ended."""
        if listening.listener is None or listening.closed:
            raise SchemeError(errno.ENOTCONN, f"{listening.name} has stopped listening")
        engine = listening.listener.accept(now)
        listening.used(Event.IN)
        if engine is None:
            return None
        conversation = self.conversations.make(listening.uid, listening.gid)
        conversation.parent = listening
        listening.children.add(conversation)
        conversation.begin(engine, now)
        return conversation

    def directory(self, conversation: Conversation) -> Directory:
        """Return the numbered directory, always the same one for the same conversation."""
        if conversation.directory is None:
            conversation.directory = ConversationDirectory(self, conversation)
        return conversation.directory


def _is_listener(made: ListenerEngine | Engine) -> TypeGuard[ListenerEngine]:
    return hasattr(made, "accept")


class _ProtocolDirectory(Directory):
    """`tcp/`."""

    def __init__(self, scheme: ConversationScheme) -> None:
        self._scheme = scheme
        self._fixed: dict[str, Node] = {
            "README": TextFile(lambda: readme(scheme)),
            "stats": TextFile(lambda: lines(scheme.protocol.stats())),
            "err": scheme.err,
            "clone": scheme.clone,
        }

    def lookup(self, name: str, caller: Caller) -> Node:
        """Find a fixed name, a number or an address; an address is checked, nothing is made."""
        scheme = self._scheme
        if name in self._fixed:
            return self._fixed[name]
        if name.isdecimal() and name.isascii():
            return scheme.numbered(name)
        if ":" in name or "!" in name:
            return scheme.address_file(name)
        raise SchemeError(errno.ENOENT, f"no {name!r} here: an address is HOST:PORT or :PORT; README says more")

    def list(self, caller: Caller) -> Iterable[tuple[str, Node]]:
        """Yield the fixed names and the live conversations."""
        yield from self._fixed.items()
        yield from self._scheme.all_numbered()


class ConversationDirectory(StaticDirectory):
    """`tcp/7/`: one conversation's files, for its owner and root."""

    def __init__(self, scheme: ConversationScheme, conversation: Conversation) -> None:
        def stream(opened: Callable[[int, Caller, float], Handle], mode: int = 0o600) -> Node:
            return _Stream(opened, mode=mode, uid=conversation.uid, gid=conversation.gid)

        def text(read: Callable[[], str]) -> TextFile:
            return TextFile(read, mode=0o400, uid=conversation.uid, gid=conversation.gid)

        def data(flags: int, caller: Caller, now: float) -> Handle:
            reads, writes = access_of(flags)
            conversation.note(now, f"open pid {caller.pid}")
            return DataHandle(conversation, now, reads=reads, writes=writes)

        self.status = _StatusFile(conversation, lines)
        super().__init__(
            {
                "ctl": stream(lambda _flags, _caller, now: CtlHandle(conversation, now, scheme.control)),
                "data": stream(data),
                "rx": stream(data, 0o400),
                "tx": stream(data, 0o200),
                "listen": stream(
                    lambda _flags, _caller, now: ListenHandle(conversation, now, scheme.control, scheme.accept)
                ),
                "local": text(lambda: local_of(conversation) + "\n"),
                "remote": text(lambda: (conversation.engine.remote if conversation.engine else "") + "\n"),
                "status": self.status,
                "status.json": _StatusFile(conversation, lambda values: json.dumps(values, indent=1) + "\n"),
                "err": text(lambda: f"{conversation.failure}\n" if conversation.failure else ""),
                "events": EventsFile(conversation),
                "settings": _SettingsDirectory(conversation),
            },
            mode=0o700,
        )
        self.uid, self.gid = conversation.uid, conversation.gid
        self.help = f"{conversation.name}: one conversation, its owner's and root's"
        for name, node in self.children.items():
            node.help = WORDS.get(name, node.help)
        self.watchable = conversation
        for shown in (self.status, self.children["status.json"], self.children["err"]):
            conversation.on_changed.append(cast("TextFile", shown).changed)


class _StatusFile(TextFile):
    """What the engine says of itself, in one of two notations."""

    def __init__(self, conversation: Conversation, notation: Callable[[Mapping[str, str | int | float]], str]) -> None:
        super().__init__(mode=0o400, uid=conversation.uid, gid=conversation.gid)
        self._conversation = conversation
        self._notation = notation

    def read(self, caller: Caller, now: float) -> bytes:
        """Return the state now."""
        del caller
        return self._notation(status_of(self._conversation, now)).encode()


class _SettingsDirectory(Directory):
    """`tcp/7/settings/`: what there is depends on what the conversation has become."""

    mode = 0o700
    help = "its values: each can be read, most can be written; ctl takes `<setting> <value>` too"

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._files: dict[str, Node] = {}
        self.uid = conversation.uid
        self.gid = conversation.gid

    def _file(self, name: str) -> Node:
        if name not in self._files:
            plain, dot, raw = name.partition(".")
            make = RAW[plain] if dot and raw == "raw" else SettingFile
            self._files[name] = make(self._conversation, plain)
        return self._files[name]

    def _names(self) -> Iterable[str]:
        for name in settings_of(self._conversation):
            yield name
            if name in RAW:
                yield f"{name}.raw"

    def lookup(self, name: str, caller: Caller) -> Node:
        """Find a setting."""
        if name not in self._names():
            allowed = ", ".join(settings_of(self._conversation))
            raise SchemeError(errno.ENOENT, f"no setting is called {name!r}; there are: {allowed}")
        return self._file(name)

    def list(self, caller: Caller) -> Iterable[tuple[str, Node]]:
        """Yield the settings."""
        return [(name, self._file(name)) for name in self._names()]


def local_of(conversation: Conversation) -> str:
    """Return the local end, or nothing before there is one."""
    side = conversation.engine or conversation.listener
    return side.local if side is not None else ""


def status_of(conversation: Conversation, now: float) -> Mapping[str, str | int | float]:
    """Return what `status` shows: the engine's own lines, then who holds it."""
    side = conversation.engine or conversation.listener
    shown: dict[str, str | int | float] = dict(side.status(now)) if side is not None else {"state": "UNCONNECTED"}
    shown["owner"] = conversation.uid
    shown["readers"] = conversation.readers
    shown["writers"] = conversation.writers
    return shown


def lines(values: Mapping[str, str | int | float]) -> str:
    """Return `key=value` lines."""
    return "".join(f"{key}={_value(value)}\n" for key, value in values.items())


def _value(value: str | int | float) -> str:  # noqa: PYI041 - bools and ints print differently from floats
    return f"{value:.6f}" if isinstance(value, float) else str(value)
