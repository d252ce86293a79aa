"""The TOML file of a lab. ValueError with a sentence: no TOML, an unknown key, a value of another kind.

[lab]
seed = 7                       # for the impairments that give none: link 1 has it, link 2 has seed + 1, …
internet = false
ipv6 = true                    # false: no link has IPv6

[host.client]                  # a namespace
[host.server]
command = "python3 -m http.server 80"      # runs in the background from the start
directory = "www"              # of the command; relative to this file's
env = { LANG = "C" }           # for the command and for `on server`
addresses = ["10.1.0.2/24"]    # one for each link of the host, in the order of the links; "": chosen
addresses6 = ["fd01::2/64"]    # of IPv6, alike
routes = ["198.51.100.0/24 via 10.1.0.9"]   # beside those that are worked out

[router.r1]                    # a daemon; it may have addresses and routes too

[[link]]
between = ["client", "r1"]     # two names; with more it is one segment
impair = "delay 20ms loss 1%"  # at the first router of the link; several lines: a line for each
[[link]]
between = ["r1", "server"]
name = "backbone"              # in the report; else the names of the ends
network = "10.1.0.0/24"
network6 = "fd01::/64"         # "none": no IPv6 on this link
mtu = 1300
[[link]]
between = ["r1"]
guest = "redox"                # a QEMU guest
"""

from __future__ import annotations

import re
from typing import Any, Final

from schemefs.lab.description import DescribedHost, DescribedLink, Description
from schemefs.toml_table import check_table, load_table

_LAB: Final[dict[str, object]] = {"seed": 0, "internet": False, "ipv6": True}
_ROUTER: Final[dict[str, object]] = {"addresses": [], "addresses6": [], "routes": []}
_HOST: Final[dict[str, object]] = {**_ROUTER, "env": {}, "command": "", "directory": ""}
_NETWORKS: Final[dict[str, object]] = {"network": "", "network6": "", "name": ""}
_LINK: Final[dict[str, object]] = {"between": [], "guest": "", "impair": "", "mtu": 0, **_NETWORKS}
_MAX_SEED: Final = 0xFFFFFFFF
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)  # POSIX: `on` sets it by a shell


def parse_lab_file(text: str) -> Description:
    """Return what the file says."""
    table = load_table(text)
    links = table.get("link", [])
    check_table({**table, "link": []}, {"lab": {}, "host": {}, "router": {}, "link": []}, "")
    if type(links) is not list or not all(isinstance(link, dict) for link in links):
        message = "link is not a list of tables: write [[link]], and a line for each key"
        raise ValueError(message)
    lab = table.get("lab", {})
    check_table(lab, _LAB, "lab.")
    if not 0 <= lab.get("seed", 0) <= _MAX_SEED:
        message = f"lab.seed is {lab['seed']}; it must be from 0 to {_MAX_SEED}"
        raise ValueError(message)
    guests = tuple(DescribedHost(link["guest"], guest=True) for link in links if _has_guest(link))
    return Description(
        hosts=(*(_host(name, values) for name, values in table.get("host", {}).items()), *guests),
        routers=tuple(_router(name, values) for name, values in table.get("router", {}).items()),
        links=tuple(_link(number, values) for number, values in enumerate(links, 1)),
        seed=lab.get("seed"),
        internet=lab.get("internet", False),
        ipv6=lab.get("ipv6", True),
    )


def _has_guest(link: object) -> bool:
    return isinstance(link, dict) and isinstance(link.get("guest"), str)


def _host(name: str, values: Any) -> DescribedHost:
    where = f"host.{name}."
    check_table(values, _HOST, where)
    env = values.get("env", {})
    check_table(env, dict.fromkeys(env, ""), f"{where}env.")
    for variable in env:
        if _VARIABLE.fullmatch(variable) is None:
            message = f"{where}env: {variable!r} is not the name of a variable; letters, digits and _ are allowed"
            raise ValueError(message)
    texts = {"command": values.get("command", ""), "directory": values.get("directory", "")}
    for key, text in {**texts, **{f"env.{variable}": text for variable, text in env.items()}}.items():
        if "\0" in text:
            message = f"{where}{key} contains NUL, which no program can be given"
            raise ValueError(message)
    return DescribedHost(name, **_frozen(values))


def _router(name: str, values: Any) -> DescribedHost:
    check_table(values, _ROUTER, f"router.{name}.")
    return DescribedHost(name, **_frozen(values))


def _link(number: int, values: Any) -> DescribedLink:
    where = f"link {number}: "
    check_table(values, _LINK, where)
    between = tuple(values.get("between", ()))
    guest = values.get("guest", "")
    if guest and len(between) != 1:
        message = f"{where}between must name the router of the guest {guest!r} alone"
        raise ValueError(message)
    if guest:
        between = (*between, guest)
    if len(between) < 2:
        message = f"{where}between must name two or more hosts and routers"
        raise ValueError(message)
    return DescribedLink(between, **{key: values[key] for key in values if key not in ("between", "guest")})


def _frozen(values: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
