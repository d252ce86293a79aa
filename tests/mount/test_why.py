"""`schemefs why` on a mount: the sentence, its targets, what is no target."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from schemefs.testing.mount import SchemeMount
from tests.support.families import Family
from tests.support.tools_in_process import call

pytestmark = pytest.mark.needs("fuse")
SYN_LOST = (
    r"\d+\.\d\d of \d+\.\d\d s: SYN lost \(impair rule 1 of lo, `drop tcp syn 1 port 7351`\), "
    r"sent again after the time-out of 1 s(; for .*)?"
)


@pytest.fixture(scope="module")
def slow(module_scheme_mount: SchemeMount, module_family: Family) -> Iterator[tuple[Path, int, str]]:
    """The tree, a client whose first SYN was lost, and the client's name."""
    tree = module_scheme_mount.path
    impair = tree / "netcfg/ifaces/lo/impair"
    impair.write_text("drop tcp syn 1 port 7351\n")
    listener = os.open(tree / "tcp/:7351", os.O_RDWR)
    client = os.open(tree / "tcp" / module_family.lo.at(7351), os.O_RDWR)
    impair.write_text("none\n")
    yield tree, client, os.getxattr(client, "user.conversation").decode()
    os.close(client)
    os.close(listener)


@pytest.mark.parametrize("target", ["descriptor", "name", "peer"])
def test_the_lost_syn_and_its_rule(slow: tuple[Path, int, str], module_family: Family, target: str) -> None:
    tree, client, name = slow
    words = {"descriptor": str(client), "name": name, "peer": module_family.lo.at(7351)}
    said = call(tree, "why", words[target])
    assert re.fullmatch(SYN_LOST + "\n", said), said


def test_all_of_them_and_json(slow: tuple[Path, int, str]) -> None:
    tree, _, name = slow
    assert any(re.fullmatch(f"{name}: {SYN_LOST}", line) for line in call(tree, "why").splitlines())
    (why,) = json.loads(call(tree, "why", "--json", name))
    assert (why["conversation"], why["cause"]) == (name, "rto")
    assert re.fullmatch(SYN_LOST, why["sentence"])
    assert sum(part["seconds"] for part in why["parts"]) == pytest.approx(why["age"], abs=1e-5)


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("tcp/9999", "there is no conversation tcp/9999"),
        ("9999999999999999999999", "descriptor 9999999999999999999999 is not a conversation of a schemefs"),
        ("{peer}", "there is no conversation with {peer}; schemefs ss has those there are"),
        ("there", "'there' is no descriptor, no conversation such as tcp/7 and no peer such as 10.0.2.2:80"),
    ],
)
def test_what_is_no_target(slow: tuple[Path, int, str], module_family: Family, target: str, sentence: str) -> None:
    peer = module_family.lo.at(1)
    assert call(slow[0], "why", target.format(peer=peer), status=2) == f"schemefs: {sentence.format(peer=peer)}\n"


def test_datagrams_and_what_has_not_begun(slow: tuple[Path, int, str]) -> None:
    tree = slow[0]
    bound, clone = os.open(tree / "udp/:7352", os.O_RDWR), os.open(tree / "tcp/clone", os.O_RDWR)
    try:
        udp = os.getxattr(bound, "user.conversation").decode()
        tcp = os.getxattr(clone, "user.conversation").decode()
        for name, sentence in ((udp, "is no stream, so it has no time"), (tcp, "has not begun, or is another user's")):
            assert call(tree, "why", name, status=2) == f"schemefs: {name} {sentence}\n"
    finally:
        os.close(bound)
        os.close(clone)
