"""The verbs of ctl, Plan 9's and ours: connect, announce, bind, shutdown, hangup, close, owner, `<setting> <value>`."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from schemefs.conversation import usage
from schemefs.errors import SchemeError
from schemefs.net.addresses import parse_host_port

if TYPE_CHECKING:
    from schemefs.conversation.conversation import Conversation
    from schemefs.conversation.protocol import ConversationProtocol, Setting
    from schemefs.conversation.usage import ProgramOf
    from schemefs.scheme import Caller

Action = Callable[["Conversation", str, "Caller", float], bool]

HELP: Final = {
    "connect ADDRESS": "connect to it; the write waits until it is connected",
    "announce ADDRESS": "wait for peers on :PORT; then open `listen`",
    "bind ADDRESS": "use this local HOST:PORT for the connect that follows",
    "shutdown read|write|both": "close one direction or both",
    "hangup": "abort: a tcp peer gets a reset, and reads here ECONNABORTED",
    "close": "close in order, open files or not; a listener ends, its accepted connections go on",
    "owner PID [NAME]": usage.HELP,
}

LONGEST_LINE: Final = 4096  # octets; an error sentence may quote a part of the line
_OF_PORTS: Final = ("announce", "bind")


def help_of(protocol: ConversationProtocol) -> dict[str, str]:
    """Return the verbs of a protocol and their help. A protocol without ports cannot wait for peers."""
    shared = {usage: does for usage, does in HELP.items() if protocol.ports or usage.split()[0] not in _OF_PORTS}
    return shared | {f"{name} {verb.usage}".rstrip(): verb.help for name, verb in protocol.verbs.items()}


class Control:
    """Executes one line at a time. *begin* and *announce* are the scheme's, which parses addresses."""

    def __init__(
        self,
        begin: Callable[[Conversation, str, Caller, float], None],
        announce: Callable[[Conversation, str, Caller, float], None],
        settings: Callable[[Conversation], dict[str, Setting]],
        protocol: ConversationProtocol,
        program_of: ProgramOf,
    ) -> None:
        self._begin = begin
        self._announce_at = announce
        self._help = help_of(protocol)
        self._own = protocol.verbs
        self._settings = settings
        self.program_of = program_of
        self._verbs: dict[str, Action] = {
            "connect": self._connect,
            "announce": self._announce,
            "bind": self._bind,
            "shutdown": self._shutdown,
            "hangup": self._hangup,
            "close": self._close,
            "owner": self._owner,
        }
        if not protocol.ports:
            for verb in _OF_PORTS:
                del self._verbs[verb]

    def command(self, conversation: Conversation, line: bytes, caller: Caller, now: float) -> bool:
        """Execute *line*; False: a connect is under way, call again with the same line. Raises why it fails."""
        check_length(line)
        try:
            words = line.decode().split(maxsplit=1)
        except UnicodeDecodeError:
            raise SchemeError(errno.EINVAL, "not UTF-8 text") from None
        if not words:
            return True
        verb, argument = words[0], words[1].strip() if len(words) > 1 else ""
        if not conversation.connecting:  # else it is the same line again
            text = f"ctl: {verb} {argument}".rstrip()
            conversation.log_event(now, text, "file:ctl", {"verb": verb, "argument": argument})
        action = self._verbs.get(verb)
        if action is not None:
            return action(conversation, argument, caller, now)
        if verb in self._own:
            self._act(conversation, verb, argument, now)
        else:
            self._set(conversation, verb, argument)
        return True

    def interrupted(self, conversation: Conversation, now: float) -> None:
        """Abort a connect that is under way: a signal has interrupted the write."""
        if conversation.connecting and conversation.engine is not None:
            conversation.connect_failed()
            conversation.engine.abort(now)

    def _connect(self, conversation: Conversation, argument: str, caller: Caller, now: float) -> bool:
        under_way = conversation.connecting
        if under_way and under_way != argument and self._is_connecting(conversation, now):
            raise SchemeError(errno.EALREADY, f"{conversation.name} is still connecting to {under_way}")
        if not conversation.connecting:
            _check_not_begun(conversation)
            bound = conversation.bound
            self._begin(conversation, f"{argument},from={bound}" if bound else argument, caller, now)
            conversation.connecting = argument
        return not self._is_connecting(conversation, now)

    def _is_connecting(self, conversation: Conversation, now: float) -> bool:
        """Return whether the connect is under way; raises its failure. Afterwards `connecting` is empty.

        A caller with O_NONBLOCK may never repeat its connect. The next connect then finds out, as with a socket.
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
            raise SchemeError(errno.EINVAL, "bind applies only to connect; announce names its own address")
        self._announce_at(conversation, argument, caller, now)
        return True

    def _bind(self, conversation: Conversation, argument: str, _caller: Caller, _now: float) -> bool:
        _check_not_begun(conversation, errno.EINVAL)
        try:
            parse_host_port(argument)
        except ValueError as error:
            raise SchemeError(errno.EINVAL, f"bind: {error}") from None
        conversation.bound = argument
        return True

    def _shutdown(self, conversation: Conversation, argument: str, _caller: Caller, now: float) -> bool:
        if argument not in ("read", "write", "both"):
            raise SchemeError(errno.EINVAL, f"shutdown takes read, write or both, not {argument!r}")
        engine = conversation.connected()
        engine.shutdown(read=argument in ("read", "both"), write=argument in ("write", "both"), now=now)
        return True

    def _hangup(self, conversation: Conversation, argument: str, _caller: Caller, now: float) -> bool:
        _check_no_argument("hangup", argument)
        if conversation.listens:
            conversation.stop_listening(now)
        else:
            conversation.connected().abort(now)
        return True

    def _close(self, conversation: Conversation, argument: str, _caller: Caller, now: float) -> bool:
        _check_no_argument("close", argument)
        if conversation.listens:
            conversation.stop_listening(now)
        else:
            conversation.connected().close(now)
        return True

    def _owner(self, conversation: Conversation, argument: str, caller: Caller, _now: float) -> bool:
        usage.name_owner(conversation, argument, caller.pid, self.program_of)
        return True

    def _act(self, conversation: Conversation, name: str, argument: str, now: float) -> None:
        """Execute a verb of the protocol's own; any setting may change."""
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
            raise SchemeError(errno.EINVAL, f"there is no verb or setting {name!r}; there are: {allowed}")
        apply(setting, name, value)
        conversation.was_set(name)


def check_length(text: bytes) -> None:
    """Refuse a line that is longer than any verb or value. EINVAL."""
    if len(text) > LONGEST_LINE:
        raise SchemeError(errno.EINVAL, f"the line is longer than {LONGEST_LINE} octets")


def _check_not_begun(conversation: Conversation, number: int = errno.EISCONN) -> None:
    if conversation.has_begun:
        raise SchemeError(number, f"{conversation.name} is connected or announced already")


def _check_no_argument(verb: str, argument: str) -> None:
    if argument:
        raise SchemeError(errno.EINVAL, f"{verb} takes no argument, not {argument!r}")


def apply(setting: Setting, name: str, value: str) -> None:
    """Set the value. EACCES: it is read-only; EINVAL: a bad value."""
    if setting.set is None:
        raise SchemeError(errno.EACCES, f"{name} is read-only")
    try:
        setting.set(value)
    except ValueError as error:
        raise SchemeError(errno.EINVAL, f"{name}: {error}") from None
