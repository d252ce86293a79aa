"""The ledger is complete, names existing tests only, and its page is not stale."""

from __future__ import annotations

import re

import ledger
import pytest

ALL = [(table.title, requirement) for table in ledger.tables() for requirement in table.requirements]


@pytest.mark.parametrize(("title", "requirement"), ALL, ids=lambda value: getattr(value, "id", ""))
def test_requirement_has_tests_that_exist_or_a_reason(title: str, requirement: ledger.Requirement) -> None:
    assert requirement.tests or requirement.reason, f"{title}: {requirement.id} has neither a test nor a reason"
    assert not ledger.missing_tests(requirement)


@pytest.mark.parametrize(("level", "count"), [("MUST", 69), ("SHLD", 31), ("MAY", 18), ("REC", 1)])
def test_appendix_b_of_rfc_9293_is_complete(level: str, count: int) -> None:
    numbers = [int(match[1]) for line in ledger.load("rfc9293.toml").requirements
               if (match := re.fullmatch(rf"{level}-(\d+)", line.id))]  # fmt: skip
    assert sorted(numbers) == list(range(1, count + 1))


def test_a_requirement_has_a_reason_or_a_note_not_both() -> None:
    for _, requirement in ALL:
        assert not (requirement.reason and requirement.note), requirement.id
        assert requirement.tests or not requirement.note, requirement.id


def test_names_of_test_files_are_unique() -> None:
    names = [path.name for path in ledger.TESTS.rglob("test_*.py")]
    assert len(names) == len(set(names))


def test_the_page_is_not_stale() -> None:
    assert ledger.PAGE.read_text() == ledger.render(), "run ./dev conformance"
