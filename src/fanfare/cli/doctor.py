"""fanfare doctor."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from fanfare.cli.console import EXIT_FAILURE, reported


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Show which engines, devices, codecs and models are at hand; exit code 1 if one is missing."""
    with reported():
        from fanfare.doctor import examine

        findings = examine()
        if as_json:
            typer.echo(json.dumps([asdict(finding) for finding in findings]))
        else:
            for finding in findings:
                mark = "ok     " if finding.ok else "MISSING"
                typer.echo(f"{mark} {finding.name:<14}{finding.value}")
        if not all(finding.ok for finding in findings):
            raise typer.Exit(EXIT_FAILURE)
