"""`fanfare models`: what it prints, what it leaves behind, and how it exits."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants
from typer.testing import CliRunner, Result

from fake_hub import Hub, fake_hub
from fanfare.cli import app
from fanfare.weights import fetch as fetching
from layouts import Shape, write_export, write_transformers
from web import Answer

GOLDEN = Path(__file__).parent.parent / "golden"
NC = "is licensed CC-BY-NC-4.0: not for commercial use\n"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub, empty caches, an empty current folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("FANFARE_CACHE_DIR", str(tmp_path / "fanfare"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(fetching, "PAUSE_S", 0.0)
    with fake_hub(tmp_path / "cache", monkeypatch) as hub:
        yield hub


def run(*arguments: str, answer: str | None = None) -> Result:
    return CliRunner().invoke(app, ["models", *arguments], input=answer)


def told(*arguments: str) -> dict[str, object]:
    """What a command says as JSON."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    values: dict[str, object] = json.loads(result.stdout)
    return values


def assert_fails(result: Result, exit_code: int, words: str) -> None:
    assert result.exit_code == exit_code, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1


def publish(hub: Hub, hub_id: str, folder: Path) -> None:
    """Put a folder on the hub."""
    hub.publish(hub_id, {file.name: file.read_bytes() for file in folder.iterdir()})


def publish_parts(hub: Hub) -> None:
    publish(hub, "google-t5/t5-base", GOLDEN / "t5-base")
    publish(hub, "facebook/encodec_32khz", GOLDEN / "encodec_32khz")


def test_list_names_what_there_is(hub: Hub) -> None:
    result = run("list")
    assert result.exit_code == 0
    lines = {line.split()[0]: line for line in result.stdout.splitlines()}
    assert "built in" in lines["epic-mini"]
    for name in ("small", "melody-large", "stereo-melody-large", "mbd", "t5-base"):
        assert "not here" in lines[name]
    assert "CC-BY-NC-4.0" in lines["large"]
    assert hub.asked() == []


def test_list_shows_what_is_cached(hub: Hub, tmp_path: Path) -> None:
    publish_parts(hub)
    publish(hub, "owner/tune", write_transformers(tmp_path / "hf", Shape()))
    hub.web.answers["/a.tar"] = Answer(b"x" * 50)
    url = f"{hub.web.url}/a.tar"
    assert run("pull", "owner/tune").exit_code == 0
    assert run("pull", "t5-base").exit_code == 0
    assert run("pull", url).exit_code == 1  # it comes, and turns out to be no checkpoint
    lines = {line.split()[0]: line for line in run("list").stdout.splitlines()}
    assert "1.75 MB" in lines["t5-base"]
    assert "owner/tune" in lines
    assert str(tmp_path / "fanfare") in lines[url]
    values = told("list")
    assert [model["name"] for model in values["cached"]] == [  # type: ignore[attr-defined]
        "google-t5/t5-base", "owner/tune", url,
    ]  # fmt: skip


def test_pull_says_the_licence_once(hub: Hub, tmp_path: Path) -> None:
    publish(hub, "facebook/musicgen-small", write_transformers(tmp_path / "hf", Shape()))
    first = run("pull", "small")
    assert first.exit_code == 0, first.output
    path = Path(first.stdout.strip())
    assert (path / "model.safetensors").is_file()
    assert first.stderr.startswith("fetching facebook/musicgen-small from the hub: ")
    assert first.stderr.endswith(f"facebook/musicgen-small {NC}")
    again = run("pull", "small")
    assert (again.stdout, again.stderr) == (first.stdout, "")


def test_pull_fetches_all_that_a_fine_tune_needs(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_parts(hub)
    tune = (GOLDEN / "audiocraft-melody" / "cog_trained_model.tar").read_bytes()
    hub.web.answers["/pbxt/Ab1/trained_model.tar"] = Answer(tune, cuts=[300_000])
    url = f"{hub.web.url}/pbxt/Ab1/trained_model.tar"
    pinned = f"{url}#sha256={hashlib.sha256(tune).hexdigest()}"
    result = run("pull", pinned, "--json")
    assert result.exit_code == 0, result.output
    assert sorted(json.loads(result.stdout)["parts"]) == ["codec", "text encoder"]
    assert f"fetching {url}\n" in result.stderr
    assert f"facebook/encodec_32khz {NC}" in result.stderr
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.asked()
    assert told("verify", url)["ok"] is True
    assert hub.asked() == []


def test_pull_of_what_is_here(hub: Hub, tmp_path: Path) -> None:
    folder = write_transformers(tmp_path / "hf", Shape())
    assert run("pull", str(folder)).stdout == f"{folder}\n"
    assert run("pull", "epic-mini").exit_code == 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("smal", "did you mean 'small'?"),
        ("owner/nothing", "the hub has no such model"),
        ("http://a.example/x", "only https is"),
        ("./nowhere", "there is no such path"),
    ],
)
def test_what_cant_be_pulled(hub: Hub, name: str, words: str) -> None:
    assert_fails(run("pull", name), 1, words)


def test_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for name in ("small", "owner/model"):
        assert_fails(run("verify", name), 1, "HF_HUB_OFFLINE is set")
    assert run("show", "small").exit_code == 0
    assert run("verify", "epic-mini").exit_code == 0


def test_show(hub: Hub) -> None:
    lines = run("show", "melody").stdout
    for words in ("1.39 G parameters", "width 1536, 48 layers, 24 heads", "text (prefix), melody",
                  "CC-BY-NC-4.0", "not on this machine", "int8"):  # fmt: skip
        assert words in lines
    lines = run("show", "epic-mini").stdout
    for words in ("plan", "lm.safetensors", "14.6 MB", "Apache-2.0", "float16"):
        assert words in lines
    values = told("show", "stereo-small")
    assert values["config"]["channels"] == 2  # type: ignore[index]
    assert values["memory_bytes"]["float32"] > 1.6e9  # type: ignore[index]
    assert list(told("show", str(GOLDEN / "t5-base"))["parts"]) == ["text encoder"]  # type: ignore[call-overload]
    assert_fails(run("show", "owner/model"), 1, "fanfare models pull owner/model")
    assert hub.asked() == []


def test_convert_and_verify(hub: Hub, tmp_path: Path) -> None:
    source = write_export(tmp_path / "tune.tar", Shape(text_dim=768))
    flags = ["--text-encoder", str(GOLDEN / "t5-base"), "--codec", str(tmp_path / "codec")]
    assert_fails(run("convert", str(source), "own", *flags), 1, "/codec': there is no such path")
    flags[-1] = str(GOLDEN / "encodec_32khz")
    assert_fails(run("convert", str(source), "own", *flags), 1, "codec with codes per codebook")
    source = GOLDEN / "audiocraft-text"
    result = run("convert", str(source), "own", "--name", "mine", *flags)
    assert (result.exit_code, result.stdout) == (0, "own\n"), result.output
    assert_fails(run("convert", str(source), "own", *flags), 2, "dest: exists")
    values = told("convert", str(source), "own", *flags, "--dtype=float32", "--force")
    assert values["dtypes"] == ["float32"]
    verdict = told("verify", "own", "--sha256")
    assert verdict["ok"] is True
    assert verdict["name"] == "audiocraft-text"
    assert verdict["parameters"]["codec"] == 231_733  # type: ignore[index]
    assert set(verdict["sha256"]) == {  # type: ignore[call-overload]
        "fanfare.json", "lm.safetensors", "codec/config.json", "codec/model.safetensors",
        "text/config.json", "text/model.safetensors", "text/tokenizer.json",
    }  # fmt: skip
    lines = run("verify", "own").stdout
    assert "language model" in lines
    assert "280128" in lines


def test_convert_refuses_before_it_fetches(hub: Hub) -> None:
    Path("mine").mkdir()
    Path("mine/a.txt").write_text("mine")
    assert_fails(run("convert", "small", "mine"), 2, "dest: exists")
    assert_fails(run("convert", "small", "mine", "--force"), 2, "isn't a model in Fanfare's layout")
    assert run("convert", "small", "own", "--dtype=int8").exit_code == 2
    assert hub.asked() == []


def test_verify_finds_damage(hub: Hub, tmp_path: Path) -> None:
    publish(hub, "owner/tune", write_transformers(tmp_path / "hf", Shape()))
    path = Path(run("pull", "owner/tune").stdout.strip())
    assert run("verify", "owner/tune", "--sha256").exit_code == 0
    tokenizer = (path / "tokenizer.json").resolve()
    tokenizer.write_bytes(tokenizer.read_bytes() + b"\n")
    result = run("verify", "owner/tune", "--sha256")
    assert result.exit_code == 1
    assert result.stderr == "error: tokenizer.json: not what was fetched\n"
    assert run("verify", "owner/tune").exit_code == 0
    (path / "model.safetensors").resolve().write_bytes(b"damaged")
    assert_fails(run("verify", "owner/tune"), 1, "model.safetensors: damaged")


def test_remove_asks(hub: Hub, tmp_path: Path) -> None:
    publish(hub, "owner/tune", write_transformers(tmp_path / "hf", Shape()))
    run("pull", "owner/tune")
    for answer in ("n\n", ""):
        kept = run("remove", "owner/tune", answer=answer)
        assert kept.exit_code == 1
        assert "freed" not in kept.stdout
        assert "remove owner/tune (" in kept.stderr
    gone = run("remove", "owner/tune", answer="y\n")
    assert gone.exit_code == 0
    assert "owner/tune: " in gone.stdout
    assert gone.stdout.endswith(" freed\n")
    assert_fails(run("remove", "owner/tune", "--yes"), 1, "is in no cache")
    run("pull", "owner/tune")
    assert told("remove", "owner/tune", "-y")["freed_bytes"] > 1000  # type: ignore[operator]


def test_remove_never_touches_what_is_yours(hub: Hub, tmp_path: Path) -> None:
    folder = write_transformers(tmp_path / "hf", Shape())
    for name in (str(folder), "epic-mini"):
        assert_fails(run("remove", name, "--yes"), 2, "is no download")
    assert (folder / "model.safetensors").is_file()


def test_generate_takes_every_kind_of_name(hub: Hub, tmp_path: Path) -> None:
    """By URL, with parts by short name; what is fetched is told, and the piece is written."""
    publish_parts(hub)
    state = (GOLDEN / "audiocraft-text" / "state_dict.bin").read_bytes()
    hub.web.answers["/state"] = Answer(state)
    command = ["generate", "epic", "--duration=1", "--seed=1", f"--weights={hub.web.url}/state"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert result.stdout == "epic-s1.wav\n"
    assert f"fetching {hub.web.url}/state\n" in result.stderr
    quiet = CliRunner().invoke(app, [*command, "--quiet", "--text-encoder=t5-base"])
    assert (quiet.exit_code, quiet.stderr) == (0, "")
    wrong = CliRunner().invoke(app, [*command, "--diffusion=nowhere/x"])
    assert wrong.exit_code == 1
    assert "nowhere/x is no path here" in wrong.stderr


def test_a_quiet_fetch_still_tells_of_a_licence_that_forbids(hub: Hub, tmp_path: Path) -> None:
    shape = Shape(sample_rate=32000, ratios=(8, 5, 4, 4), text_dim=16)
    publish(hub, "facebook/musicgen-small", write_transformers(tmp_path / "hf", shape))
    command = ["generate", "epic", "--duration=1", "--quiet", "--weights=small"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert result.stderr == f"facebook/musicgen-small {NC}"


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; sys.argv = ['fanfare', 'models', 'convert', '--help']\n"
        "from fanfare.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'transformers', 'huggingface_hub', 'httpx2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.endswith("[]\n")
