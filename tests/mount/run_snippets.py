"""What programs do with sockets, each as a function that prints. Run natively and by `schemefs run`: the same output.

Ports and descriptors differ from run to run, so none is printed. The modules need nothing but the standard library.
"""

from __future__ import annotations

import inspect
import sys

import snippets_of_ipv6
import snippets_of_others
import snippets_of_tcp
import snippets_of_udp

SNIPPETS = [
    found
    for module in (snippets_of_tcp, snippets_of_udp, snippets_of_ipv6, snippets_of_others)
    for found in vars(module).values()
    if inspect.isfunction(found) and found.__module__ == module.__name__
]


def main() -> None:
    for snippet in SNIPPETS:
        print(f"== {snippet.__name__}")
        try:
            snippet()
        except Exception as error:
            print("raised", type(error).__name__, error)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
