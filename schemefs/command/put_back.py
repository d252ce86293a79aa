"""What a killed daemon has left on the host, put back by the drivers: a persistent TAP's address, forwarding."""

from __future__ import annotations

from collections.abc import Iterator

from schemefs.driver import DriverError


def put_back() -> Iterator[str]:
    """Yield a line for each setting that a driver has put back, or could not, in this process's network namespace."""
    from schemefs import plugins  # noqa: PLC0415 - only this function needs trio and the plugins

    for driver in plugins.load().drivers.values():
        for finding in driver.examine():
            if finding.put_back is not None:
                try:
                    finding.put_back()
                except DriverError as error:
                    yield f"{finding.sentence}, and it could not be put back: {error}"
                else:
                    yield f"put back: {finding.sentence}"
