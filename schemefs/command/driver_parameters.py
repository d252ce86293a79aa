"""The mount command with the options of every driver: click parameters built from the drivers' tables.

The tables are read when this command is used, not for `schemefs --help`: finding the plugins takes 10 ms, and drivers
of other packages may import slow modules.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import click
from click.core import ParameterSource

from schemefs.command import completion
from schemefs.driver_option import DriverOption, Tables


class MountCommand(click.Command):
    """Its callback gets the driver's options among its keywords; `given_driver_options` takes them out."""

    @cached_property
    def tables(self) -> Tables:
        """The options of every installed driver."""
        from schemefs import plugins  # noqa: PLC0415 - see the module's docstring

        return plugins.option_tables()

    @cached_property
    def _driver_parameters(self) -> list[click.Option]:
        """One parameter for each name. Drivers can share a name: the chosen driver parses the value."""
        named: dict[str, list[DriverOption]] = {}
        for table in self.tables.values():
            for option in table or ():
                named.setdefault(option.name, []).append(option)
        return [_parameter(options) for options in named.values()]

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the parameters of every mount, then the drivers'."""
        return [*super().get_params(ctx), *self._driver_parameters]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options of every mount, then a section for each driver."""
        common = [parameter for parameter in super().get_params(ctx) if isinstance(parameter, click.Option)]
        records = [parameter.get_help_record(ctx) for parameter in common]
        with formatter.section("Options"):
            formatter.write_dl([record for record in records if record is not None])
        for driver, table in self.tables.items():
            if table:
                with formatter.section(f"Options of --driver {driver}"):
                    formatter.write_dl([(_usage(option), _help(option)) for option in table])

    def given_driver_options(self, context: click.Context, values: dict[str, Any]) -> dict[str, str | bool]:
        """Remove the drivers' options from *values*, and return those that were given."""
        taken = {str(parameter.name): values.pop(str(parameter.name)) for parameter in self._driver_parameters}
        source = context.get_parameter_source
        return {name: value for name, value in taken.items() if source(name) is ParameterSource.COMMANDLINE}


def _parameter(options: list[DriverOption]) -> click.Option:
    first = options[0]
    if first.is_flag:
        return click.Option([first.word, first.name], is_flag=True)
    return click.Option([first.word, first.name], metavar=first.metavar, shell_complete=_completion(options))


def _completion(options: list[DriverOption]) -> completion.Complete:
    kinds = {option.completion for option in options if isinstance(option.completion, str)}
    if "file" in kinds:
        return completion.files
    if "directory" in kinds:
        return completion.directories
    return completion.words(*(word for option in options for word in _words(option)))


def _words(option: DriverOption) -> Iterator[str]:
    if not isinstance(option.completion, str):
        yield from option.completion


def _usage(option: DriverOption) -> str:
    return option.word if option.is_flag else f"{option.word} {option.metavar}"


def _help(option: DriverOption) -> str:
    default = option.default.replace("%d", "0")
    if option.is_peer or option.is_peer6:
        default = "10.0.2.2/24" if option.is_peer else "fd00:10:0:2::2/64"
    return f"{option.help}  [default: {default}]" if default else option.help
