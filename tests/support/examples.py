"""How many examples a test of properties draws if it needs more than the profiles of tests/conftest.py give."""

from __future__ import annotations

from typing import Final

import hypothesis

_QUICK: Final = 60  # of the profile of that name


def examples(count: int) -> int:
    """Return *count*, or with a profile of fewer examples its part."""
    return min(count, count * hypothesis.settings.default.max_examples // _QUICK)
