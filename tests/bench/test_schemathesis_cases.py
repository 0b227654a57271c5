"""What counts the answers that schemathesis got."""

from __future__ import annotations

import pytest

import schemathesis_cases
from schemathesis_cases import statuses


def test_every_answer_is_counted_wherever_it_stands() -> None:
    case = {"interactions": {"a": {"response": {"status_code": 503, "headers": {}}}, "b": None}}
    event = {"ScenarioFinished": {"recorder": [case, {"status_code": 200}], "status": "failure"}}
    assert sorted(statuses(event)) == [200, 503]
    assert statuses({"Initialize": {"seed": 1}}) == []


def test_without_schemathesis_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["schemathesis_cases.py", "--schemathesis", "no-such-command"])
    with pytest.raises(SystemExit, match="pip install schemathesis"):
        schemathesis_cases.main()
