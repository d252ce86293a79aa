"""The relay of --uplink without a file descriptor: it drops no client, and its task goes on."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest
import trio
import trio.testing

from drivers.tap import relay


def out_of_descriptors(*_arguments: object, **_options: object) -> Any:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def test_a_query_without_a_descriptor_gets_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trio.socket, "socket", out_of_descriptors)
    assert trio.run(relay._ask, "127.0.0.1", bytes(12)) == b""


def test_a_connection_is_accepted_later(autojump_clock: trio.testing.MockClock) -> None:
    class Listener:
        calls = 0

        async def accept(self) -> str:
            self.calls += 1
            if self.calls == 1:
                out_of_descriptors()
            if self.calls > 2:
                await trio.sleep_forever()
            return "client"

    async def run() -> list[object]:
        served: list[object] = []
        made = object.__new__(relay.Relay)

        async def serve(client: object) -> None:
            served.append(client)
            nursery.cancel_scope.cancel()

        made._relay_stream = serve  # type: ignore[method-assign]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made._accept, Listener(), nursery)
        return served

    assert trio.run(run, clock=autojump_clock) == ["client"]
