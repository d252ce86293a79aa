"""Fixtures that files of this folder share."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from schemefs.testing.network import Namespace


@pytest.fixture(autouse=True)
def _servers_end_with_their_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kill what a test has started in a namespace, so that the next test of a shared network may use its ports."""
    started: list[subprocess.Popen[Any]] = []
    start = Namespace.start

    def noted(namespace: Namespace, *arguments: Any, **options: Any) -> subprocess.Popen[Any]:
        started.append(start(namespace, *arguments, **options))
        return started[-1]

    monkeypatch.setattr(Namespace, "start", noted)
    yield
    for child in started:
        child.kill()
        child.wait()
