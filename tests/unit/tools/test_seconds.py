"""Options that are a number of seconds: what is refused, by each tool that has one."""

import click
import pytest
from click.testing import CliRunner

from schemefs.command.cli import cli
from schemefs.tools.seconds import seconds


@pytest.mark.parametrize("text", ["nan", "inf", "1e18", "1e300", "-1", "abc", ""])
@pytest.mark.parametrize(
    "words",
    ["get -m", "get --timeout", "ping -i", "ping -w", "ping -W", "traceroute -w", "nc -w", "nc -q", "wait -t"],
)
def test_what_is_no_number_of_seconds_is_refused(words: str, text: str) -> None:
    if (words, text) == ("nc -q", "-1"):
        return  # no limit, as in the model
    done = CliRunner().invoke(cli, [*words.split(), text, "127.0.0.1"])
    assert done.exit_code
    assert "is not a number of seconds" in done.output


def test_the_least_is_named() -> None:
    assert seconds(0.001)("0.5") == 0.5
    with pytest.raises(click.BadParameter, match=r"0 is less than 0\.001 s"):
        seconds(0.001)("0")
