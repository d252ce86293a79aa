"""Every trace runs twice: with numbers from 0, and with numbers that wrap after a few thousand octets (§3.4)."""

from __future__ import annotations

import pytest

from tests.support.tcp_trace import Trace


@pytest.fixture(autouse=True, params=[0, 2**32 - 2500], ids=["", "wraps"])
def first_number(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trace, "first_number", request.param)
