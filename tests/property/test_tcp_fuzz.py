"""Sequences of segments, replays, time and calls, chosen by random octets (tcp_fuzz), and those that once failed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import tcp_fuzz
from tests.support.examples import examples
from tests.support.tcp_trace import US, Trace

FUZZER = Path(__file__).parents[1] / "fuzz" / "fuzz_segments.py"
FOUND = sorted((FUZZER.parent / "found").glob("*"))


@settings(max_examples=examples(500), deadline=None)
@given(st.binary(min_size=2, max_size=400))
def test_any_story(octets: bytes) -> None:
    """By both families: the last octet chooses."""
    tcp_fuzz.run(octets)


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.name)
def test_what_the_fuzzer_has_found(path: Path, family: int) -> None:
    tcp_fuzz.run(path.read_bytes(), family)


def test_a_story_goes_by_the_family_that_its_last_octet_chooses() -> None:
    assert [len(tcp_fuzz.Story(b"\4", family).trace.us) for family in (4, 6)] == [4, 16]
    assert Trace().us == US  # and of no other trace


@pytest.mark.full
def test_the_fuzzer_for_a_minute(tmp_path: Path) -> None:
    """`./dev fuzz`, in short: from the seeds, so that the inputs kept on one machine do not decide what is tested."""
    pytest.importorskip("atheris", reason="no atheris for this Python and machine")
    command = [sys.executable, str(FUZZER), "--seconds", "60", "--corpus", str(tmp_path / "corpus")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


def test_without_atheris_it_says_so_in_one_sentence() -> None:
    program = "import runpy, sys; sys.modules['atheris'] = None; runpy.run_path(sys.argv.pop(), run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", program, str(FUZZER)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "there is no atheris for this Python" in done.stderr
