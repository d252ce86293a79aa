"""The mount command with the options of every driver: click parameters made of the drivers' tables.

The tables are read when this command is used, not for `schemefs --help`: looking for plugins takes 10 ms, and the
drivers of other packages may import what they like.
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
        """The options of the drivers that are there."""
        from schemefs import plugins  # noqa: PLC0415 - see the module's text

        return plugins.option_tables()

    @cached_property
    def _driver_parameters(self) -> list[click.Option]:
        """One for each name: drivers that share a name share the parameter, and the chosen driver reads the value."""
        named: dict[str, list[DriverOption]] = {}
        for table in self.tables.values():
            for option in table or ():
                named.setdefault(option.name, []).append(option)
        return [_parameter(options) for options in named.values()]

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return ours, then the drivers'."""
        return [*super().get_params(ctx), *self._driver_parameters]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section for each driver after the options that every mount has."""
        ours = [parameter for parameter in super().get_params(ctx) if isinstance(parameter, click.Option)]
        records = [parameter.get_help_record(ctx) for parameter in ours]
        with formatter.section("Options"):
            formatter.write_dl([record for record in records if record is not None])
        for driver, table in self.tables.items():
            if table:
                with formatter.section(f"Options of --driver {driver}"):
                    formatter.write_dl([(_usage(option), _help(option)) for option in table])

    def given_driver_options(self, context: click.Context, values: dict[str, Any]) -> dict[str, str | bool]:
        """Take the drivers' options out of *values* and return those that were given."""
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
    default = "10.0.2.2/24" if option.is_peer else option.default.replace("%d", "0")
    return f"{option.help}  [default: {default}]" if default else option.help
