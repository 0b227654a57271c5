"""What `import fanfare` offers, and that it costs nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

import fanfare


def test_every_public_name_is_there() -> None:
    for name in fanfare.__all__:
        assert getattr(fanfare, name).__module__.startswith("fanfare."), name
    assert set(fanfare.__all__) < set(dir(fanfare))
    assert fanfare.__version__[0].isdigit()


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        fanfare.lod  # noqa: B018


def test_importing_loads_nothing_heavy() -> None:
    program = (
        "import sys, fanfare, fanfare.inputs, fanfare.errors\n"
        "assert not {'torch', 'numpy', 'av', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
