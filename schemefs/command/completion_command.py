"""The command `schemefs completion`."""

from __future__ import annotations

import click

from schemefs.command import completion

EXAMPLES = """
\b
Examples:
  eval "$(schemefs completion bash)"               in ~/.bashrc
  eval "$(schemefs completion zsh)"                in ~/.zshrc, after compinit
  schemefs completion fish >~/.config/fish/completions/schemefs.fish
"""


@click.command("completion", epilog=EXAMPLES)
@click.argument("shell", type=click.Choice(completion.SHELLS))
def command(shell: str) -> None:
    """Print the script that makes SHELL complete schemefs commands."""
    click.echo(completion.script(click.get_current_context().find_root().command, shell))
