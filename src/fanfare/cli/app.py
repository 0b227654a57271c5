"""The `fanfare` command and its sub-commands."""

from __future__ import annotations

from typing import Annotated

import typer

from fanfare.cli.again import again
from fanfare.cli.doctor import doctor
from fanfare.cli.generate import generate
from fanfare.cli.inspect import inspect
from fanfare.cli.models import models
from fanfare.cli.serve import serve

app = typer.Typer(
    name="fanfare",
    help="Epic music from a prompt, on your own machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)


def main() -> None:
    """The `fanfare` command."""
    app()


def _print_version(wanted: bool) -> None:
    if wanted:
        from fanfare.version import fanfare_version

        typer.echo(f"fanfare {fanfare_version()}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Which one.")
    ] = False,
) -> None:
    """Epic music from a prompt, on your own machine."""


app.command()(generate)
app.command()(serve)
app.command()(inspect)
app.command()(again)
app.add_typer(models)
app.command()(doctor)
