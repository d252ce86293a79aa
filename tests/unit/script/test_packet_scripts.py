"""Packet scripts against the stack: the ten of examples/scripts, and what is said when something else comes."""

import re
from pathlib import Path

import pytest

from schemefs.script.notation import ScriptError, parse_script
from schemefs.script.player import Player
from schemefs.story.model import DIFFERS, Segment, Step
from tests.support.scripts_page import PAGE, SCRIPTS, play, written

OPENED = """\
app: open 10.0.2.2:80
stack: S 0:0(0) <mss 1460, sackOK>
+0.05 peer: S. 0:0(0) ack 1 <mss 1000>
stack: . 1:1(0) ack 1
"""
FIELDS = "FIRST:END(LENGTH), ack, win, mss, wscale, sackOK, ts, sack, nosack, lost"
CALLS = "open, opened, listen, accept, write, read, poll, state, ctl, close"
ERRORS = "icmp too-big mtu N (68 to 65535), or icmp unreachable net|host|protocol|port|admin"


def test_the_page_has_each_script_with_its_ladder() -> None:
    """`python -m tests.support.scripts_page` writes the page."""
    assert {script.name for script in SCRIPTS} == {path.name for path in SCRIPTS[0].parent.iterdir()}
    assert written() == PAGE.read_text()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_no_segment_of_the_stack_is_passed_over(script: Path) -> None:
    lines = script.read_text().splitlines()
    for index, line in enumerate(lines):
        time, is_of_stack, what = line.partition("stack: ")
        if is_of_stack and what != "nothing":
            difference, ladder = play("\n".join([*lines[:index], f"{time}stack: nothing", *lines[index + 1 :]]))
            assert difference is not None, line
            assert ladder.count(f"{DIFFERS}: line ") == 1


@pytest.mark.parametrize(
    ("added", "sentence"),
    [
        ("+1 stack: . 1:1(0) ack 1", "expected . 1:1(0) ack 1, the stack sent nothing"),
        ("app: write 10", "after this line, the stack sent P. 1:11(10) ack 1 win 65535 at 0.050000 s"),
        (
            "app: write 10\n+1 peer: . ack 11",
            "before this line, the stack sent P. 1:11(10) ack 1 win 65535 at 0.050000 s",
        ),
        (
            "app: write 10\nstack: nothing",
            "where nothing is expected, the stack sent P. 1:11(10) ack 1 win 65535 at 0.050000 s",
        ),
        (
            "app: write 10\nstack: . 1:12(11) ack 1",
            "expected . 1:12(11) ack 1, the stack sent P. 1:11(10) ack 1 win 65535: its length differs",
        ),
        (
            "app: write 10\nstack: F. 1:11(10) ack 1",
            "expected F. 1:11(10) ack 1, the stack sent P. 1:11(10) ack 1 win 65535: its flags differ",
        ),
        (
            "app: write 10\nstack: P. 1:11(10) ack 1 lost\n+0.1 stack: P. 1:11(10) ack 1",
            "expected P. 1:11(10) ack 1, the stack sent nothing",
        ),
        ("app: read -> 1 octet", "expected read -> 1 octet, the result is EAGAIN"),
        ("app: read", "expected read without an error, the result is EAGAIN"),
        ("app: poll -> IN", "expected poll -> IN, the result is OUT"),
        (
            "app: ctl nodelay 7",
            "expected ctl nodelay 7 without an error, the result is EINVAL (nodelay: '7' is neither 1 nor 0)",
        ),
    ],
)
def test_the_first_difference_is_marked(added: str, sentence: str) -> None:
    player = Player("script")
    lines = parse_script(OPENED + added)
    difference = player.play(lines)
    assert difference is not None
    assert (difference.line, difference.sentence) == (lines[-1].number, sentence)
    entry = next(entry for entry in player.story.entries if DIFFERS in repr(entry))
    assert f"{DIFFERS}: line {difference.line}: {sentence}" in (
        entry.remark if isinstance(entry, Segment) else entry.text if isinstance(entry, Step) else ""
    )


def test_the_time_of_a_segment_matters() -> None:
    script = OPENED + "app: write 10\nstack: P. 1:11(10) ack 1 lost\n{} stack: P. 1:11(10) ack 1"
    assert play(script.format("+0.25"))[0] is None
    difference, _ = play(script.format("+0.26"))
    assert difference is not None
    assert difference.sentence.endswith(": it left at 0.300000 s, not at 0.310000 s")


def test_a_script_uses_ipv6_and_listens() -> None:
    script = """\
app: listen [::]:80
app: accept -> EAGAIN
app: poll -> nothing
peer: S 0:0(0) <mss 1440, sackOK, ts 7:0, wscale 7>
stack: S. 0:0(0) ack 1 <mss 1440, sackOK, ts 0:7>
+0.05 peer: . ack 1 win 500 <ts 8:0>
app: poll -> IN
app: accept -> done
app: write 2000
stack: . 1:1429(1428) ack 1
stack: P. 1429:2001(572) ack 1
+0.01 peer: icmp too-big mtu 1300
stack: . 1:1229(1228) ack 1
stack: . 1229:2001(772) ack 1
+0.05 peer: F. 1:1(0) ack 2001 <ts 9:60>
stack: . 2001:2001(0) ack 2
app: read -> end
app: close
stack: F. 2001:2001(0) ack 2
"""
    difference, ladder = play(script)
    assert difference is None, ladder
    assert "win 64000" in ladder, "the window is scaled"


def test_a_ladder_has_the_remarks_of_captures() -> None:
    ladders = {script.name: play(script.read_text())[1] for script in SCRIPTS}
    found = {name: re.findall(r"│   (\w+: .*?) *│", ladder) for name, ladder in ladders.items()}
    assert found["zero-window"] == ["probe: zero window", "probe: zero window", "again: not received"]
    assert found["path-mtu"] == ["dropped: lost on the way", "again: not received", "again: not received"]
    assert found["tail-loss-probe"][2:] == ["probe: TLP", "again: RACK"]
    assert found["paws"] == ["dropped: old_timestamp", "ack: duplicate"]
    text = "".join(f"peer: . {seq}:{seq + 9000}(9000) ack 1\nstack: .\n" for seq in range(1, 261001, 9000))
    difference, ladder = play(f"{OPENED}{text}+1 app: read\nstack: .")
    assert difference is None
    assert re.findall(r"│   (\w+: .*?) *│", ladder) == ["ack: window update"]


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("", "line 1: a script has at least one line with peer:, stack: or app:"),
        ("\n# only\npear: S", "line 3: there is no actor 'pear'; there are: peer, stack, app"),
        ("hello", "line 1: a line is [+SECONDS] peer:, stack: or app: and what it does, not 'hello'"),
        ("1 app: close\n0.5 app: close",
         "line 2: a line is not before the line before it (1 s), and not after 86400 s, not at 0.5"),
        ("+1.2.3 app: close",
         "line 1: a time is in seconds, such as +0.2 after the line before or 1.5 after the beginning, not '1.2.3'"),
        ("peer: X 0:0(0)", "line 1: a segment begins with its flags, the letters S F R P . E W, not 'X'"),
        ("stack:", "line 1: a segment begins with its flags, the letters S F R P . E W, not nothing"),
        ("peer: . 1:1(0)", "line 1: a segment of the peer with the flag . has an ack N"),
        ("stack: S 1:1(0) ack 1", "line 1: ack N comes with the flag . alone"),
        ("peer: P. 1:3(1) ack 1",
         "line 1: in FIRST:END(LENGTH), END is FIRST + LENGTH, and LENGTH at most 9000, not '1:3(1)'"),
        ("peer: S 0:0(0) win 70000", "line 1: win is followed by a number from 0 to 65535, not '70000'"),
        ("peer: S 0:0(0) <ts 1>", "line 1: ts is followed by VALUE:ECHO"),
        ("peer: S 0:0(0) <mood 1>",
         f"line 1: a segment has no 'mood'; it has {FIELDS}"),
        ("app: dance", f"line 1: the program has no call 'dance'; it has: {CALLS}"),
        ("app: write many", "line 1: write needs a number of octets from 1 to 1048576, not 'many'"),
        ("app: open", "line 1: open needs an argument, not ''"),
        ("app: close now", "line 1: close needs no argument, not 'now'"),
        ("app: poll -> IN|UP",
         "line 1: the result of poll is nothing, or some of IN|PRI|OUT|ERR|HUP|RDHUP, not 'IN|UP'"),
        ("peer: icmp too-big mtu 10",
         f"line 1: an ICMP error is {ERRORS}, not 'icmp too-big mtu 10'"),
        ("app: write 1", "line 1: the program has no open file; `app: open HOST:PORT` or `app: accept` comes before"),
        ("app: accept", "line 1: nothing listens; `app: listen :80` comes before"),
        ("app: listen :http", "line 1: a script listens at :PORT or [::]:PORT, not ':http'"),
        ("peer: icmp unreachable port", "line 1: an ICMP error is about a segment, and the stack has sent none"),
        ("peer: . ack 1 <ts 1:1, sack 1:2 3:4 5:6 7:8>",
         "line 1: the options of a segment are at most 40 octets, not 44"),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_read_gets_a_sentence_with_its_number(script: str, sentence: str) -> None:
    with pytest.raises(ScriptError) as found:
        Player("script").play(parse_script(script))
    assert str(found.value) == sentence
