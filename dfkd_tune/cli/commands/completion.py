"""``completion``: print a script that completes commands, options and study names in a shell."""

from __future__ import annotations

import click

from dfkd_tune.cli.options import COMPLETION


@click.command(short_help="Print a shell completion script.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a shell completion script. To load it:

    eval "$(dfkd-tune completion bash)"
    """
    from click.shell_completion import get_completion_class

    made = get_completion_class(shell)
    assert made is not None  # click knows the three shells
    click.echo(made(context.find_root().command, {}, "dfkd-tune", COMPLETION).source())
