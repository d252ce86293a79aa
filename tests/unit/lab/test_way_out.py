"""Whether the machine has a way out over IPv6, by its table of routes."""

from __future__ import annotations

from pathlib import Path

from schemefs.lab.way_out import has_default_route6

_ALL = "0" * 32
_LO = f"{_ALL} 00 {_ALL} 00 {_ALL} ffffffff 00000001 00000000 00200200       lo"
_LINK = f"fe80{'0' * 28} 40 {_ALL} 00 {_ALL} 00000100 00000002 00000000 00000001     eth0"
_DEFAULT = f"{_ALL} 00 {_ALL} 00 fd00{'0' * 27}1 00000400 00000003 00000000 00000003     eth0"


def test_a_default_route_is_one_of_a_link_other_than_lo(tmp_path: Path) -> None:
    (tmp_path / "without").write_text(f"{_LINK}\n{_LO}\n")
    (tmp_path / "with").write_text(f"{_LINK}\n{_DEFAULT}\n{_LO}\n")
    assert has_default_route6(str(tmp_path / "with"))
    assert not has_default_route6(str(tmp_path / "without"))
    assert not has_default_route6(str(tmp_path / "nothing"))
