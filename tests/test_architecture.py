"""Imports point one way: which room may know which, and which must not load heavy libraries.

Every `import` in the package counts, those inside functions too.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import fanfare

PACKAGE = Path(fanfare.__file__).parent

KNOWN_TO_ALL = {"errors", "inputs", "rules", "settings", "version"}
ARROWS: dict[str, set[str]] = {
    "errors": set(),
    "version": set(),
    "rules": set(),
    "inputs": {"errors"},
    "settings": {"errors"},
    "nn": {"nn"},
    "weights": {"weights", "nn"},
    "engine": {"engine", "weights", "nn"},
    "audio": {"audio"},
    "epic": {"epic", "nn", "weights", "audio"},
    "piece": {"audio"},
    "chunks": {"engine", "nn", "audio"},
    "prepare": {"engine", "weights", "nn", "audio", "epic", "chunks"},
    "predict": {"engine", "weights", "nn", "audio", "piece", "chunks", "prepare"},
    "session": {"engine", "weights", "piece", "chunks", "prepare", "predict"},
    "stream": {"predict", "chunks", "piece"},
    "model": {"session", "engine", "predict", "weights", "piece", "chunks", "stream"},
    "doctor": set(),
    "cli": {"cli", "model", "predict", "chunks", "piece", "audio", "weights", "doctor", "server"},
    "__init__": {"model", "piece", "predict", "chunks", "stream"},
    "schema": set(),
    "server": {"server"},
}
"""Beside KNOWN_TO_ALL: for each room, the rooms it may import from."""

PLAYERS = {"model", "session", "predict", "stream", "chunks", "piece", "audio", "weights", "engine"}
PLAYERS_FILES = {
    "worker.py",
    "playing.py",
    "intake.py",
    "clerk.py",
    "sound.py",
    "memory.py",
    "shelf.py",
}
EXCEPTIONS = {
    # Chords, keys and forms are refused where they are given, by those who will read them.
    "inputs.py": {"epic"},
    # Judges the finished road, so it stands at its end.
    "epic/evaluate.py": {"model", "piece", "predict"},
    "epic/trials.py": {"model", "piece"},
    "epic/judges.py": {"model"},
    # The worker's own: the process that owns the engine. The API's process loads none of them.
    **{f"server/{name}": PLAYERS for name in PLAYERS_FILES},
}

HEAVY = {
    "torch",
    "numpy",
    "transformers",
    "av",
    "soundfile",
    "soxr",
    "mutagen",
    "matplotlib",
    "demucs",
    "rich",
}
FORBIDDEN = {"transformers"}
"""Of the tests and the benchmarks alone: it takes longer to load than a piece takes to be made."""

LIGHT_ROOMS = {
    "errors", "version", "rules", "inputs", "settings", "doctor", "cli", "__init__", "server",
}  # fmt: skip
"""Rooms that `fanfare --help` or a server passes through: heavy imports only inside functions."""


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything imported below a node."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            assert node.module
            if node.module == "fanfare":
                yield from ((node.lineno, f"fanfare.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, node.module


def run_on_import(tree: ast.Module) -> Iterator[ast.stmt]:
    """Statements at the top of a module, those for type checkers left out."""
    for node in tree.body:
        is_for_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if not is_for_types and not isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    here = room(path)
    assert here in ARROWS, f"a new room: say in ARROWS whom {here} may know"
    short = path.relative_to(PACKAGE).as_posix()
    allowed = ARROWS[here] | KNOWN_TO_ALL | EXCEPTIONS.get(short, set())
    for line, name in imported(ast.parse(path.read_text("utf-8"))):
        assert name.split(".")[0] not in FORBIDDEN, f"{short}:{line}: {name}"
        if name == "fanfare" or name.startswith("fanfare."):
            there = name.split(".")[1] if "." in name else "__init__"
            assert there in allowed, f"{short}:{line}: {here} must not know {there}"


@pytest.mark.parametrize("name", sorted(LIGHT_ROOMS))
def test_heavy_imports_stay_in_their_rooms(name: str) -> None:
    paths = [path for path in files() if room(path) == name and path.name not in PLAYERS_FILES]
    assert paths, name
    for path in paths:
        for statement in run_on_import(ast.parse(path.read_text("utf-8"))):
            for line, library in imported(statement):
                assert library.split(".")[0] not in HEAVY, f"{path.name}:{line}: {library}"


def test_only_the_worker_plays() -> None:
    for path in (PACKAGE / "server").rglob("*.py"):
        if path.name in PLAYERS_FILES:
            continue
        for line, name in imported(ast.parse(path.read_text("utf-8"))):
            is_player = f"{name.rpartition('.')[2]}.py" in PLAYERS_FILES
            is_ours = name.startswith("fanfare.server.")
            assert not (is_ours and is_player), f"{path.name}:{line}: {name}"
            assert name.split(".")[0] not in HEAVY, f"{path.name}:{line}: {name}"


def test_the_api_loads_nothing_heavy() -> None:
    code = "import sys, fanfare.server.app, fanfare.server.cleaner; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not HEAVY - {"rich"} & set(loaded.stdout.split())


def test_nn_knows_nothing_of_files_requests_or_time() -> None:
    for path in (PACKAGE / "nn").glob("*.py"):
        for line, name in imported(ast.parse(path.read_text("utf-8"))):
            top = name.split(".")[0]
            assert top not in {"pathlib", "os", "io", "json", "time", "safetensors"}, (path, line)


def test_only_settings_reads_the_environment() -> None:
    for path in files():
        if room(path) == "settings":
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute):
                assert node.attr not in {"environ", "getenv"}, (path, node.lineno)


def test_only_the_command_line_prints() -> None:
    for path in files():
        if room(path) in {"cli", "epic", "schema"}:  # recipes report as they train
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", (path, node.lineno)


def test_no_file_is_too_long() -> None:
    for path in files():
        assert len(path.read_text("utf-8").splitlines()) <= 450, path


def test_nothing_is_excepted_bare() -> None:
    for path in files():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                assert node.type is not None, (path, node.lineno)
