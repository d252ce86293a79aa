"""The choice of the default driver: options first, then the best that can be had."""

from __future__ import annotations

import pytest

from schemefs.command.default_driver import Choice, choose
from schemefs.driver_option import AsDefault, DriverOption

TABLES = {
    "loopback": (),
    "tap": (DriverOption("tap", str, ""), DriverOption("uplink", str, "", is_flag=True)),
    "passt": (DriverOption("passt", str, ""),),
    "stream": (DriverOption("socket", str, ""),),
}


def candidates(tap: str = "", passt: str = "") -> dict[str, AsDefault]:
    return {
        "passt": AsDefault(1, lambda: passt),
        "loopback": AsDefault(2, str),
        "tap": AsDefault(0, lambda: tap),
    }


@pytest.mark.parametrize(
    ("tap", "passt", "expected"),
    [
        ("", "", Choice("tap")),
        ("uid 7 may not", "", Choice("passt", "no tap: uid 7 may not")),
        ("", "not installed", Choice("tap")),
        ("uid 7 may not", "not installed", Choice("loopback", "no tap: uid 7 may not; no passt: not installed")),
    ],
)
def test_the_best_that_can_be_had(tap: str, passt: str, expected: Choice) -> None:
    assert choose(candidates(tap, passt), TABLES, ()) == expected


@pytest.mark.parametrize(("given", "driver"), [(["tap"], "tap"), (["uplink", "tap"], "tap"), (["passt"], "passt")])
def test_an_option_of_one_driver_chooses_it_whatever_is_in_its_way(given: list[str], driver: str) -> None:
    assert choose(candidates("no", "no"), TABLES, given) == Choice(driver)


def test_options_that_no_driver_has_together_are_left_to_the_checks() -> None:
    assert choose(candidates(), TABLES, ["tap", "passt"]).driver == "tap"
    assert choose(candidates(), TABLES, ["socket"]).driver == "tap"


def test_a_machine_where_nothing_can_be_had() -> None:
    """Without the loopback plugin: the best driver says itself what is wrong."""
    only = {"tap": AsDefault(0, lambda: "no")}
    assert choose(only, {"tap": ()}, ()) == Choice("tap")
