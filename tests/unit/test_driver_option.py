"""A driver's table of options: texts to values and back, defaults by interface, and tables that can't be used."""

from __future__ import annotations

import click
import pytest

from drivers.tap import OPTIONS, TapDriver
from schemefs.command.cli import cli
from schemefs.document import InterfaceDocument
from schemefs.driver_option import (
    RESERVED,
    DriverOption,
    OptionValueError,
    as_keys,
    one_of,
    option_texts,
    read_options,
    switch,
    table_faults,
    with_defaults,
)

TABLE = (
    DriverOption("wire", str, "The wire.", default="w%d"),
    DriverOption("speed", int, "Frames a second."),
    DriverOption("noisy", str, "Say more.", is_flag=True),
)


def test_what_is_given_is_read_and_the_rest_has_its_default():
    assert read_options(TABLE, "eth7", {"speed": "3"}) == {"wire": "w7", "speed": 3, "noisy": False}
    assert read_options(TABLE, "eth7", {"noisy": True, "wire": "a"}) == {"wire": "a", "speed": None, "noisy": True}
    assert with_defaults(TABLE, "eth0", {"speed": 5}) == {"wire": "w0", "speed": 5, "noisy": False}


def test_what_is_shown_is_read_back_and_nothing_is_shown_of_nothing():
    values = {"wire": "a", "speed": None, "noisy": False}
    assert option_texts(TABLE, values) == {"wire": "a"}
    assert read_options(TABLE, "eth0", option_texts(TABLE, values)) == values
    assert option_texts(TABLE, {"noisy": True, "speed": 3}) == {"speed": "3", "noisy": True}


def test_a_driver_without_a_table_gets_what_is_given():
    assert read_options(None, "eth0", {"any": "text"}) == {"any": "text"}
    assert option_texts(None, {"any": "text"}) == {"any": "text"}
    assert with_defaults(None, "eth0", {"any": "text"}) == {"any": "text"}


@pytest.mark.parametrize(
    ("given", "option", "sentence"),
    [
        ({"speed": "fast"}, "speed", "invalid literal"),
        ({"colour": "red"}, "colour", "is not an option of this driver; there are: wire, speed, noisy"),
    ],
)
def test_a_bad_value_names_its_option(given, option, sentence):
    with pytest.raises(OptionValueError, match=sentence) as caught:
        read_options(TABLE, "eth0", given)
    assert caught.value.option == option


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        (5, "its options are no sequence of DriverOption"),
        (["wire"], "its options are no sequence of DriverOption"),
        ([DriverOption("Wire-1", str, "")], "its option 'Wire-1' is no name: lower-case words joined by '_' are"),
        ([DriverOption("mtu", int, "")], "its option 'mtu' is a word of every mount or interface"),
        ([TABLE[0], TABLE[0]], "its option 'wire' is declared twice: once is allowed"),
        ([DriverOption("uplink", str, "")], "its option --uplink contradicts that of tap: one takes a value"),
        ([DriverOption("speed", int, "", default="x")], "the default of its option 'speed' is bad: invalid literal"),
    ],
)
def test_a_table_that_cannot_be_used_is_the_fault_of_its_driver(table, fault):
    (found,) = table_faults({"tap": OPTIONS, "other": table, "plain": None}).items()
    assert found[0] == "other"
    assert fault in found[1]


def test_drivers_may_share_a_name():
    assert not table_faults({"tap": OPTIONS, "other": [DriverOption("tap", str, "Another.")]})


def test_the_words_of_mount_and_of_every_interface_are_reserved():
    mount = cli.get_command(click.Context(cli), "mount")
    assert mount is not None
    own = {parameter.name for parameter in mount.params}
    spelled = {name.lstrip("-").replace("-", "_") for parameter in mount.params for name in parameter.opts}
    assert own | {name for name in spelled if len(name) > 1} | {"help"} <= RESERVED
    assert {"address", *InterfaceDocument.__slots__} <= RESERVED


def test_taps_class_has_the_table_of_its_package():
    assert TapDriver.options is OPTIONS


def test_words():
    assert (switch("on"), switch("off"), one_of("a", "b")("b")) == (True, False, "b")
    with pytest.raises(ValueError, match="'yes' is neither on nor off"):
        switch("yes")
    with pytest.raises(ValueError, match="'c' is not one of: a, b"):
        one_of("a", "b")("c")


def test_a_sentence_with_words_of_the_command_line_becomes_one_with_keys():
    sentence = "the TAP --tap is not taken; use another --tap, --host-address none, --driver loopback or --tapestry"
    assert as_keys(sentence, OPTIONS) == (
        "the TAP tap is not taken; use another tap, host_address none, driver loopback or --tapestry"
    )
    assert as_keys("use another --tap or --address", None) == "use another --tap or address"
