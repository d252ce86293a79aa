"""A name with several addresses: which failure of an attempt ends it, and which one it reports."""

from __future__ import annotations

import errno

import pytest

from schemefs.conversation.connecting import ATTEMPT_DELAY, Connecting
from schemefs.errors import SchemeError
from schemefs.timers import Timers
from tests.support.ip_host import address


class Attempt:
    """An engine whose connect fails; *refused*: by the session over its connection."""

    def __init__(self, remote: bytes, sentence: str, *, refused: bool) -> None:
        self.remote = str(remote)
        self.error = self.sentence = sentence
        self.session_was_refused = refused

    def opening(self, now: float) -> bool:
        del now
        raise SchemeError(errno.EPROTO if self.session_was_refused else errno.ECONNREFUSED, self.sentence)


class TwoAddresses:
    """Looks up names; each has two addresses."""

    def lookup(self, host, answered, now, uid, late):
        del host, uid, late
        answered((address("10.0.2.2"), address("10.0.2.3")), now)


@pytest.mark.parametrize(
    ("refused", "tried", "number", "sentence"),
    [
        (0, 1, errno.EPROTO, "attempt 0"),
        (1, 2, errno.EPROTO, "none of 2 addresses of host connects: attempt 1"),
        (9, 2, errno.ECONNREFUSED, "none of 2 addresses of host connects: attempt 1"),
    ],
)
def test_a_refused_session_is_reported_and_no_other_address_tried(
    refused: int, tried: int, number: int, sentence: str
) -> None:
    begun: list[Attempt] = []

    def connect(remote: bytes, _now: float) -> Attempt:
        begun.append(Attempt(remote, f"attempt {len(begun)}", refused=len(begun) == refused))
        return begun[-1]

    connecting = Connecting("host", connect, lambda _engine, _now: None, Timers())
    with pytest.raises(SchemeError) as caught:
        connecting.start(TwoAddresses(), 0.0)
    assert (len(begun), caught.value.errno, caught.value.sentence) == (tried, number, sentence)
    assert connecting.ended


class Silent(Attempt):
    """An engine whose connect goes on."""

    aborted = False

    def opening(self, now: float) -> bool:
        del now
        return True

    def abort(self, now: float) -> None:
        del now
        self.aborted = True


def test_a_refused_session_does_not_wait_for_a_silent_address() -> None:
    timers = Timers()
    attempts = [Silent(b"", "", refused=False), Attempt(b"", "refused", refused=True)]
    begun = iter(attempts)
    connecting = Connecting("host", lambda _remote, _now: next(begun), lambda _engine, _now: None, timers)
    connecting.start(TwoAddresses(), 0.0)
    timers.on_deadline(ATTEMPT_DELAY)
    with pytest.raises(SchemeError, match="none of 2 addresses of host connects: refused"):
        connecting.opening(ATTEMPT_DELAY)
    assert attempts[0].aborted
    assert connecting.ended
