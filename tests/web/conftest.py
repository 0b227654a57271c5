"""Tests that need a browser."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Their marker."""
    config.addinivalue_line("markers", "web: drives headless Chromium (apt: chromium-driver)")
