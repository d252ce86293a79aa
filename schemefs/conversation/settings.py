"""The files of `settings/`: every value as text, and three in Redox's binary form too (`NAME.raw`).

Redox: `hop_limit` is one octet. `read_timeout` and `write_timeout` are a TimeSpec, 16 octets in native order: seconds
as i64, nanoseconds as i32, 4 octets of padding. While no time-out is set a read is empty; a short write clears it.
"""

from __future__ import annotations

import errno
from struct import Struct
from typing import TYPE_CHECKING, Final

from schemefs.conversation.control import apply, check_length
from schemefs.conversation.options import READ_TIMEOUT_HELP, WRITE_TIMEOUT_HELP
from schemefs.conversation.protocol import Setting
from schemefs.errors import SchemeError
from schemefs.net.addresses import parse_seconds
from schemefs.scheme import Caller, Directory, Node, TextFile, WriteForm

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from schemefs.conversation.conversation import Conversation

_TIMESPEC: Final = Struct("=qi4x")


def settings_of(conversation: Conversation) -> dict[str, Setting]:
    """Return every setting: the time-outs of the files, then those of the engine or the listener."""

    def timeout(name: str, text: str) -> Setting:
        return Setting(
            lambda: _decimal(getattr(conversation, name)),
            lambda value: setattr(conversation, name, parse_seconds(value)),
            text,
        )

    found = {
        "read_timeout": timeout("read_timeout", READ_TIMEOUT_HELP),
        "write_timeout": timeout("write_timeout", WRITE_TIMEOUT_HELP),
    }
    side = conversation.engine or conversation.listener
    return found | dict(side.settings) if side is not None else found


def _decimal(seconds: float) -> str:
    """Return seconds in decimal, to the nanosecond, without an exponent."""
    return f"{seconds:.9f}".rstrip("0").rstrip(".")


class SettingFile(TextFile):
    """One setting as text. Each write(2) is a call of setsockopt(2): it sets the value, with or without a newline."""

    form = WriteForm.VALUE

    def __init__(self, conversation: Conversation, name: str) -> None:
        super().__init__(uid=conversation.uid, gid=conversation.gid)
        self._conversation = conversation
        self._name = name
        self.mode = 0o600 if self._setting().set is not None else 0o400
        self.help = self._setting().help

    def _setting(self) -> Setting:
        setting = settings_of(self._conversation).get(self._name)
        if setting is None:  # the conversation has another engine since the lookup
            raise SchemeError(errno.ENOENT, f"{self._conversation.name} no longer has the setting {self._name}")
        return setting

    def read(self, caller: Caller, now: float) -> bytes:
        """Return the value at the time of the call, and a newline."""
        del caller, now
        return f"{self._setting().get()}\n".encode()

    def write(self, data: bytes, caller: Caller, now: float) -> None:
        """Set the value. EACCES: it is read-only; EINVAL: a bad value. `err` keeps the sentence."""
        del caller
        try:
            check_length(data)
            value = data.decode(errors="replace").strip()
            setting = {"name": self._name, "value": value}
            self._conversation.log_event(now, f"settings/{self._name}: {value}", "file:setting", setting)
            apply(self._setting(), self._name, value)
        except SchemeError as error:
            self._conversation.fail(error.sentence)
            raise
        self._conversation.was_set(self._name)


class RawSettingFile(SettingFile):
    """The same value in Redox's binary form."""

    def __init__(self, conversation: Conversation, name: str) -> None:
        super().__init__(conversation, name)
        self.help = f"{name} in Redox's binary form"

    def read(self, caller: Caller, now: float) -> bytes:
        """Return the binary form; empty: no time-out is set."""
        del caller, now
        text = self._setting().get()
        if self._name == "hop_limit":
            return bytes((int(text),))
        nanoseconds = round(float(text) * 1e9)
        return _TIMESPEC.pack(*divmod(nanoseconds, 1_000_000_000)) if nanoseconds else b""

    def write(self, data: bytes, caller: Caller, now: float) -> None:
        """Set the value from its binary form. EIO: an empty hop limit."""
        if self._name == "hop_limit":
            if not data:
                raise SchemeError(errno.EIO, "hop_limit.raw takes one octet, not an empty write")
            text = str(data[0])
        elif len(data) < _TIMESPEC.size:
            text = "0"
        else:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            text = _decimal(seconds + nanoseconds / 1e9)
        super().write(text.encode(), caller, now)


RAW: Final[dict[str, Callable[[Conversation, str], SettingFile]]] = dict.fromkeys(
    ("hop_limit", "read_timeout", "write_timeout"), RawSettingFile
)


class SettingsDirectory(Directory):
    """`tcp/7/settings/`: its names depend on whether the conversation has an engine, a listener or neither."""

    mode = 0o700

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._files: dict[str, TextFile] = {}
        self.uid = conversation.uid
        self.gid = conversation.gid

    def changed(self, name: str = "") -> None:
        """Wake the pollers of a setting; of all settings if *name* is empty."""
        for shown, file in self._files.items():
            if not name or shown in (name, f"{name}.raw"):
                file.changed()

    def _file(self, name: str) -> TextFile:
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
        """Find a setting. ENOENT: the conversation has none of that name."""
        if name not in self._names():
            allowed = ", ".join(settings_of(self._conversation))
            raise SchemeError(errno.ENOENT, f"there is no setting {name!r}; there are: {allowed}")
        return self._file(name)

    def list(self, caller: Caller) -> Iterable[tuple[str, Node]]:
        """Return the settings that the conversation has now."""
        return [(name, self._file(name)) for name in self._names()]
