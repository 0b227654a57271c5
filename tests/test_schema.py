"""What is generated from `Inputs`."""

from __future__ import annotations

import inspect
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import soundfile
import yaml

from fanfare import schema
from fanfare.inputs import Inputs
from fanfare.model import Model
from fanfare.rules import PUBLISHED


class _CogPath(type(Path())):  # type: ignore[misc]
    """As cog has it."""


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> Any:
    """predict.py's class, with a stand-in for the package that it imports."""
    cog = types.ModuleType("cog")
    vars(cog).update(BasePredictor=object, Path=_CogPath, Input=lambda **about: about)
    monkeypatch.setitem(sys.modules, "cog", cog)
    module = types.ModuleType("predict")
    exec(compile(schema.predictor(), "predict.py", "exec"), vars(module))
    return vars(module)["Predictor"]


def test_nothing_is_stale() -> None:
    for path, text in schema.pages().items():
        assert path.read_text("utf-8") == text, path


def test_cog_takes_the_same_inputs(predictor: Any) -> None:
    parameters = inspect.signature(predictor.predict).parameters
    rules = Inputs.json_schema(PUBLISHED)["properties"]
    assert [name for name in parameters if name != "self"] == list(rules)
    for name, rule in rules.items():
        about = parameters[name].default
        assert about["default"] == rule.get("default")
        assert about["description"] == rule["description"]
        # Without "Optional", cog takes an input whose default is None for one that is required.
        is_optional = "Optional" in str(parameters[name].annotation)
        assert is_optional is (about["default"] is None)


def test_cog_plays(predictor: Any, text_model: Model, capsys: pytest.CaptureFixture[str]) -> None:
    one = predictor()
    one.model = text_model
    given = {n: p.default["default"] for n, p in inspect.signature(one.predict).parameters.items()}
    made = one.predict(**{**given, "prompt": "epic", "duration": 1, "seed": 4})
    assert isinstance(made, _CogPath)
    alone = text_model.generate(prompt="epic", duration=1, seed=4)
    assert made.read_bytes() == alone.to_bytes()
    assert soundfile.info(made).frames == 32000
    made.unlink()
    assert "Using seed: 4" in capsys.readouterr().out
    with pytest.raises(ValueError, match="input_audio"):
        one.predict(**{**given, "input_audio": "/etc/hostname"})


def test_cog_finds_the_predictor() -> None:
    described = yaml.safe_load((schema.ROOT / "cog.yaml").read_text("utf-8"))
    assert described["predict"] == "predict.py:Predictor"
