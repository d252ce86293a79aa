"""The verbs of ctl, Plan 9's and ours: connect, announce, bind, shutdown, hangup, close, and `<setting> <value>`."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from schemefs.errors import SchemeError
from schemefs.net.addresses import parse_endpoint

if TYPE_CHECKING:
    from schemefs.conversation.conversation import Conversation
    from schemefs.conversation.protocol import ConversationProtocol, Setting
    from schemefs.scheme import Caller

Action = Callable[["Conversation", str, "Caller", float], bool]

HELP: Final = {
    "connect ADDRESS": "begin a conversation with it; waits until it is there",
    "announce ADDRESS": "wait for peers on :PORT; then open `listen`",
    "bind ADDRESS": "use this local HOST:PORT for the connect that follows",
    "shutdown read|write|both": "close one direction or both",
    "hangup": "abort: the peer gets a reset",
    "close": "close in order, whoever still holds the files; a listener ends, what it has accepted goes on",
}

LONGEST_LINE: Final = 4096  # octets; an error's sentence quotes it
_OF_PORTS: Final = ("announce", "bind")


def help_of(protocol: ConversationProtocol) -> dict[str, str]:
    """Return the verbs of a protocol, and what they do. Without ports nobody can be waited for."""
    shared = {usage: does for usage, does in HELP.items() if protocol.ports or usage.split()[0] not in _OF_PORTS}
    return shared | {f"{name} {verb.usage}".rstrip(): verb.help for name, verb in protocol.verbs.items()}


class Control:
    """Carries out one line at a time. *begin* and *announce* come from the tree, which knows addresses."""

    def __init__(
        self,
        begin: Callable[[Conversation, str, Caller, float], None],
        announce: Callable[[Conversation, str, Caller, float], None],
        settings: Callable[[Conversation], dict[str, Setting]],
        protocol: ConversationProtocol,
    ) -> None:
        self._begin = begin
        self._announce_at = announce
        self._help = help_of(protocol)
        self._own = protocol.verbs
        self._settings = settings
        self._verbs: dict[str, Action] = {
            "connect": self._connect,
            "announce": self._announce,
            "bind": self._bind,
            "shutdown": self._shutdown,
            "hangup": self._hangup,
            "close": self._close,
        }
        if not protocol.ports:
            for verb in _OF_PORTS:
                del self._verbs[verb]

    def command(self, conversation: Conversation, line: bytes, caller: Caller, now: float) -> bool:
        """Carry out *line*; False: not done yet, ask again with the same line. Raises SchemeError when it can't be."""
        check_length(line)
        try:
            words = line.decode().split(maxsplit=1)
        except UnicodeDecodeError:
            raise SchemeError(errno.EINVAL, "not UTF-8 text") from None
        if not words:
            return True
        verb, argument = words[0], words[1].strip() if len(words) > 1 else ""
        if not conversation.connecting:  # else it is the same line, asked again
            conversation.log_event(now, f"ctl: {verb} {argument}".rstrip())
        action = self._verbs.get(verb)
        if action is not None:
            return action(conversation, argument, caller, now)
        if verb in self._own:
            self._act(conversation, verb, argument, now)
        else:
            self._set(conversation, verb, argument)
        return True

    def interrupted(self, conversation: Conversation, now: float) -> None:
        """A connect that a signal interrupted is given up."""
        if conversation.connecting and conversation.engine is not None:
            conversation.connect_failed()
            conversation.engine.abort(now)

    def _connect(self, conversation: Conversation, argument: str, caller: Caller, now: float) -> bool:
        under_way = conversation.connecting
        if under_way and under_way != argument and self._is_connecting(conversation, now):
            raise SchemeError(errno.EALREADY, f"{conversation.name} is connecting to {under_way} still")
        if not conversation.connecting:
            _check_not_begun(conversation)
            bound = conversation.bound
            self._begin(conversation, f"{argument},from={bound}" if bound else argument, caller, now)
            conversation.connecting = argument
        return not self._is_connecting(conversation, now)

    def _is_connecting(self, conversation: Conversation, now: float) -> bool:
        """Tell whether it is under way still, and remember when it is not; raises what has become of it.

        Whoever has begun it with O_NONBLOCK doesn't ask again: then it is the next connect that asks, as with a socket.
        """
        try:
            if conversation.connected().opening(now):
                return True
        except SchemeError:
            conversation.connect_failed()
            raise
        conversation.connecting = ""
        return False

    def _announce(self, conversation: Conversation, argument: str, caller: Caller, now: float) -> bool:
        _check_not_begun(conversation)
        if conversation.bound:
            raise SchemeError(errno.EINVAL, "bind is for a connect: announce says itself where")
        self._announce_at(conversation, argument, caller, now)
        return True

    def _bind(self, conversation: Conversation, argument: str, _caller: Caller, _now: float) -> bool:
        _check_not_begun(conversation, errno.EINVAL)
        try:
            parse_endpoint(argument)
        except ValueError as error:
            raise SchemeError(errno.EINVAL, f"bind: {error}") from None
        conversation.bound = argument
        return True

    def _shutdown(self, conversation: Conversation, argument: str, _caller: Caller, now: float) -> bool:
        if argument not in ("read", "write", "both"):
            raise SchemeError(errno.EINVAL, f"shutdown what? read, write or both, not {argument!r}")
        engine = conversation.connected()
        engine.shutdown(read=argument in ("read", "both"), write=argument in ("write", "both"), now=now)
        return True

    def _hangup(self, conversation: Conversation, argument: str, _caller: Caller, now: float) -> bool:
        _check_alone("hangup", argument)
        if conversation.listens:
            conversation.stop_listening(now)
        else:
            conversation.connected().abort(now)
        return True

    def _close(self, conversation: Conversation, argument: str, _caller: Caller, now: float) -> bool:
        _check_alone("close", argument)
        if conversation.listens:
            conversation.stop_listening(now)
        else:
            conversation.connected().close(now)
        return True

    def _act(self, conversation: Conversation, name: str, argument: str, now: float) -> None:
        """Carry out a verb of the protocol's own; it may be seen in any setting."""
        side = conversation.engine or conversation.listener
        if side is None:
            raise SchemeError(errno.ENOTCONN, f"{conversation.name} is neither connected nor announced")
        try:
            self._own[name].act(side, argument, now)
        except ValueError as error:
            raise SchemeError(errno.EINVAL, f"{name}: {error}") from None
        conversation.was_set("")

    def _set(self, conversation: Conversation, name: str, value: str) -> None:
        settings = self._settings(conversation)
        setting = settings.get(name)
        if setting is None:
            allowed = ", ".join((*self._help, *settings))
            raise SchemeError(errno.EINVAL, f"no verb or setting is called {name!r}; there are: {allowed}")
        apply(setting, name, value)
        conversation.was_set(name)


def check_length(text: bytes) -> None:
    """Refuse what no verb or value is as long as. EINVAL."""
    if len(text) > LONGEST_LINE:
        raise SchemeError(errno.EINVAL, f"a line of more than {LONGEST_LINE} octets")


def _check_not_begun(conversation: Conversation, number: int = errno.EISCONN) -> None:
    if conversation.has_begun:
        raise SchemeError(number, f"{conversation.name} is connected or announced already")


def _check_alone(verb: str, argument: str) -> None:
    if argument:
        raise SchemeError(errno.EINVAL, f"{verb} stands alone, without {argument!r}")


def apply(setting: Setting, name: str, value: str) -> None:
    """Set, or raise SchemeError: EACCES where it can only be read, EINVAL for a bad value."""
    if setting.set is None:
        raise SchemeError(errno.EACCES, f"{name} can only be read")
    try:
        setting.set(value)
    except ValueError as error:
        raise SchemeError(errno.EINVAL, f"{name}: {error}") from None
