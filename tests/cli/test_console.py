"""Ctrl-C counts, even where a library has swallowed its exception."""

from __future__ import annotations

import contextlib
import signal

import pytest
import typer

from fanfare.cli.console import EXIT_INTERRUPTED, reported


def swallow_an_interrupt() -> None:
    """As a callback of a C library does."""
    with reported() as interruption:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert interruption.is_pressed
        interruption.check()
        pytest.fail("went on")


def test_a_swallowed_interrupt_is_remembered() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(typer.Exit) as caught:
        swallow_an_interrupt()
    assert caught.value.exit_code == EXIT_INTERRUPTED
    assert signal.getsignal(signal.SIGINT) is before
