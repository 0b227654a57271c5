"""`python -m fanfare.cli` is `fanfare`."""

from fanfare.cli.app import main

main()
