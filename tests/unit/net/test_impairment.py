"""The line that describes an impairment."""

import pytest

from schemefs.net.impairment import Impairment, parse_impairment, parse_impairments

WHOLE = (
    "loss 1% burst 3 delay 20ms jitter 5ms reorder 1% detour 10ms duplicate 0.5% corrupt 0.1% rate 10mbit queue 100 "
    "mtu 1280 blackhole icmp direction out seed 7"
)


def test_every_word_is_understood_and_comes_back():
    assert str(parse_impairment(WHOLE)) == WHOLE
    assert parse_impairment(WHOLE) == Impairment(
        loss=0.01,
        burst=3,
        delay=0.02,
        jitter=0.005,
        reorder=0.01,
        detour=0.01,
        duplicate=0.005,
        corrupt=0.001,
        rate=10e6,
        queue=100,
        mtu=1280,
        blackhole="icmp",
        direction="out",
        seed=7,
    )


@pytest.mark.parametrize("line", ["loss 0.333%", "delay 1.5s", "rate 64kbit", "rate 2.5gbit", "delay 150us", "mtu 576"])
def test_what_was_read_can_be_written_back(line):
    assert str(parse_impairment(line)) == line
    assert parse_impairment(str(parse_impairment(line))) == parse_impairment(line)


def test_words_in_any_order():
    assert parse_impairment("seed 7 loss 1%") == parse_impairment("loss 1% seed 7")


def test_none_and_a_line_for_each_direction():
    assert parse_impairments(["none"]) == ()
    assert [one.direction for one in parse_impairments(["loss 1% direction in", "delay 1ms direction out"])] == [
        "in",
        "out",
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "impairs nothing"),
        ("loss", "has no value"),
        ("loss 1", "not a percentage"),
        ("loss 101%", "not a percentage"),
        ("loss 1% loss 2%", "each once"),
        ("delay 20", "not a time"),
        ("delay 61s", "up to 60 s"),
        ("jitter 5ms", "more than the delay"),
        ("rate 0mbit", "not a rate"),
        ("rate fast", "not a rate"),
        ("colour red", "'colour'"),
        ("none loss 1%", "'none'"),
        ("direction in", "impairs nothing"),
        ("loss 1% direction up", "one of: in, out, both"),
        ("loss 1% seed -1", "not a number from 0"),
        ("loss ١%", "not a percentage"),
    ],
)
def test_a_malformed_line_is_refused_with_a_sentence(line, words):
    with pytest.raises(ValueError, match=words):
        parse_impairment(line)


def test_a_direction_cannot_be_given_twice():
    with pytest.raises(ValueError, match="twice"):
        parse_impairments(["loss 1%", "delay 1ms direction out"])
