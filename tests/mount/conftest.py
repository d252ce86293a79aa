"""Fixtures that files of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from schemefs.testing.mount import SchemeMount
from tests.support.running_tools import Tools


@pytest.fixture
def tools(scheme_mount: SchemeMount) -> Iterator[Tools]:
    made = Tools(scheme_mount)
    yield made
    made.close()


@pytest.fixture
def shared(module_scheme_mount: SchemeMount) -> Tools:
    return Tools(module_scheme_mount)
