"""The command line. Prints and exit codes live here only: 0, 2 for bad input, 1 for a failure.

Results go to standard output, all else to standard error. Whatever takes long to import is
imported by the command that needs it, so that `--help` answers at once.
"""

from __future__ import annotations

from fanfare.cli.app import app, main

__all__ = ["app", "main"]
