"""The command line: what it prints, what it writes, and how it exits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from fanfare.audio.io import read_audio
from fanfare.audio.tags import read_tags
from fanfare.cli import app
from fanfare.inputs import Inputs
from sounds import broken_files, sound_file

# Every field of Inputs in several wrong ways, as a user would type them.
BAD_FLAGS = [
    ("duration", "--duration=0"), ("duration", "--duration=-3"), ("duration", "--duration=601"),
    ("duration", "--duration=eight"), ("duration", "--duration=8.5"), ("duration", "--duration="),
    ("duration", "--duration=99999999999999999999"), ("duration", "--duration=1e2"),
    ("input-audio", "--input-audio=nowhere.wav"), ("input-audio", "--input-audio="),
    ("input-audio", "--input-audio=https://example.com/a.wav"), ("input-audio", "--input-audio=."),
    ("input-audio", "--input-audio=data:audio/wav;base64,@@"),
    ("continuation", "--continuation"), ("continuation", "--continuation=maybe"),
    ("continuation-start", "--continuation-start=2"),
    ("continuation-start", "--continuation-start=-1"),
    ("continuation-start", "--continuation-start=x"),
    ("continuation-end", "--continuation-end=2"), ("continuation-end", "--continuation-end=-2"),
    ("continuation-end", "--continuation-end=end"),
    ("multi-band-diffusion", "--multi-band-diffusion"),
    ("multi-band-diffusion", "--multi-band-diffusion=1"),
    ("normalization-strategy", "--normalization-strategy=lufs"),
    ("normalization-strategy", "--normalization-strategy="),
    ("top-k", "--top-k=-1"), ("top-k", "--top-k=many"), ("top-k", "--top-k=2.5"),
    ("top-p", "--top-p=1.5"), ("top-p", "--top-p=-0.1"), ("top-p", "--top-p=nan"),
    ("top-p", "--top-p=x"), ("temperature", "--temperature=-1"),
    ("temperature", "--temperature=inf"), ("temperature", "--temperature=hot"),
    ("temperature", "--temperature=11"),
    ("classifier-free-guidance", "--classifier-free-guidance=-1"),
    ("classifier-free-guidance", "--classifier-free-guidance=nan"),
    ("classifier-free-guidance", "--classifier-free-guidance=99"),
    ("output-format", "--output-format=aac"), ("output-format", "--output-format=WAVE"),
    ("seed", "--seed=-2"), ("seed", "--seed=4294967296"), ("seed", "--seed=lucky"),
    ("output", "--output=music.aac"), ("output", "--output=nowhere/music.wav"),
    ("output", "-o=taken.wav"), ("count", "--count=0"), ("count", "--count=1000"),
    ("device", "--device=abacus"), ("device", "--device=cuda:99"), ("engine", "--engine=steam"),
    ("dtype", "--dtype=int3"), ("durations", "--durations=3"),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text_folder: Path) -> Path:
    """An empty current folder, and the tiny model as the default."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FANFARE_WEIGHTS", str(text_folder))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_refused(result: Result, word: str) -> None:
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    said = result.stderr.replace("_", "-").lower()
    assert word.lower() in said, result.stderr


@pytest.mark.parametrize(("field", "flag"), BAD_FLAGS, ids=lambda value: value)
def test_bad_flags(folder: Path, field: str, flag: str) -> None:
    (folder / "taken.wav").write_bytes(b"mine")
    flags = flag.split("=", 1) if flag.startswith("-o") else [flag]
    assert_refused(run("generate", "epic brass", *flags), field)
    assert names(folder) == ["taken.wav"]
    assert (folder / "taken.wav").read_bytes() == b"mine"


@pytest.mark.parametrize(("arguments", "word"), [
    ([], "prompt"), ([""], "prompt"), (["  "], "prompt"), (["x" * 5000], "prompt"),
    (["epic", "brass"], "brass"),
    (["epic", "-o", "a.wav", "--output-format", "mp3"], "output-format"),
])  # fmt: skip
def test_bad_requests(folder: Path, arguments: list[str], word: str) -> None:
    assert_refused(run("generate", *arguments), word)
    assert names(folder) == []


def test_every_broken_file(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name, path in broken_files(tmp_path_factory.mktemp("broken")).items():
        result = run("generate", "epic", "--continuation", f"--input-audio={path}")
        assert_refused(result, "input-audio")
        assert len(result.stderr.splitlines()) == 1, name
    assert names(folder) == []


@pytest.mark.parametrize("weights", ["nowhere", ".", "./nowhere"])
def test_missing_weights_are_a_failure(folder: Path, weights: str) -> None:
    result = run("generate", "epic", "--weights", weights)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: ")
    assert names(folder) == []


@pytest.mark.parametrize("variable", ["FANFARE_MAX_DURATION_S", "FANFARE_MAX_AUDIO_BYTES"])
def test_wrong_environment(folder: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "plenty")
    assert_refused(run("generate", "epic"), variable.replace("_", "-"))


def test_a_piece_is_written(folder: Path) -> None:
    result = run("generate", "Heroic brass, 120 BPM!", "--duration", "2", "--seed", "7")
    assert result.exit_code == 0, result.output
    assert result.stdout == "heroic-brass-120-bpm-s7.wav\n"
    assert "seed 7" in result.stderr
    assert "× real time" in result.stderr
    assert names(folder) == ["heroic-brass-120-bpm-s7.wav"]
    assert read_audio(folder / names(folder)[0]).duration_s == 2.0


def test_the_same_command_gives_the_same_bytes_beside_the_first(folder: Path) -> None:
    for _ in range(2):
        assert run("generate", "epic", "--duration=1", "--seed=0").exit_code == 0
    assert names(folder) == ["epic-s0-2.wav", "epic-s0.wav"]
    assert (folder / "epic-s0.wav").read_bytes() == (folder / "epic-s0-2.wav").read_bytes()


@pytest.mark.parametrize("suffix", ["wav", "mp3", "flac", "ogg"])
def test_the_ending_picks_the_format(folder: Path, suffix: str) -> None:
    result = run("generate", "epic", "--duration=1", "--seed=5", "-o", f"a.{suffix}")
    assert result.exit_code == 0, result.output
    tags = read_tags(folder / f"a.{suffix}")
    assert tags is not None
    assert (tags.prompt, tags.seed, tags.weights) == ("epic", 5, "tiny-text")


def test_no_ending_takes_the_output_format(folder: Path) -> None:
    run("generate", "epic", "--duration=1", "-o", "a", "--output-format=mp3")
    assert names(folder) == ["a.mp3"]


def test_a_folder_is_filled(folder: Path) -> None:
    (folder / "music").mkdir()
    run("generate", "epic", "--duration=1", "--seed=1", "-o", "music")
    assert names(folder / "music") == ["epic-s1.wav"]


def test_force(folder: Path) -> None:
    (folder / "a.wav").write_bytes(b"old")
    result = run("generate", "epic", "--duration=1", "-o", "a.wav", "--force")
    assert result.exit_code == 0
    assert (folder / "a.wav").read_bytes()[:4] == b"RIFF"


def test_count_takes_one_seed_after_the_other(folder: Path) -> None:
    result = run("generate", "epic", "--duration=1", "--seed=8", "--count=6", "--quiet")
    assert result.exit_code == 0
    assert result.stdout.split() == [f"epic-s{seed}.wav" for seed in range(8, 14)]
    assert result.stderr == ""
    again = run("generate", "epic", "--duration=1", "--seed=9", "-o", "again.wav")
    assert again.exit_code == 0
    expected = (folder / "epic-s9.wav").read_bytes()
    assert (folder / "again.wav").read_bytes() == expected


def test_count_with_a_name(folder: Path) -> None:
    run("generate", "epic", "--duration=1", "--count=2", "-o", "a.flac")
    assert names(folder) == ["a-1.flac", "a-2.flac"]


def test_json(folder: Path) -> None:
    one = json.loads(run("generate", "epic", "--duration=1", "--json").stdout)
    assert Path(one["path"]).is_file()
    assert one["path"].endswith(f"-s{one['seed']}.wav")
    assert one["duration_s"] == 1.0
    assert one["real_time_factor"] > 0
    assert list(one["inputs"]) == list(Inputs.model_fields)
    two = json.loads(run("generate", "epic", "--duration=1", "--json", "--count=2").stdout)
    assert len(two) == 2
    assert two[0]["seed"] != two[1]["seed"]


def test_every_field_has_a_flag_that_arrives(folder: Path, recording: Path) -> None:
    given = {
        "input_audio": str(recording), "duration": 2, "continuation": True,
        "continuation_start": 1, "continuation_end": 2, "multi_band_diffusion": False,
        "normalization_strategy": "rms", "top_k": 17, "top_p": 0.25, "temperature": 0.75,
        "classifier_free_guidance": 2, "output_format": "mp3", "seed": 99,
    }  # fmt: skip
    flags = []
    for name, value in given.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            flags.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            flags.append(f"--{flag}={value}")
    result = run("generate", "epic", "--json", *flags)
    assert result.exit_code == 0, result.output
    arrived = json.loads(result.stdout)["inputs"]
    left = dict.fromkeys(("bpm", "key", "chords", "form"))  # of models that compose
    assert arrived == {"prompt": "epic", **given, "input_audio": "recording.wav", **left}
    assert names(folder) == ["epic-s99.mp3"]
    assert read_audio(folder / "epic-s99.mp3").duration_s == pytest.approx(3.0, abs=0.05)


def test_help_names_every_field() -> None:
    text = run("generate", "--help").stdout
    assert "prompt" in text
    for name in list(Inputs.model_fields)[1:]:
        assert f"--{name.replace('_', '-')}" in text, name


def test_version() -> None:
    result = run("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("fanfare ")


def test_inspect(folder: Path) -> None:
    run("generate", "epic brass", "--duration=1", "--seed=3", "-o", "a.mp3")
    told = run("inspect", "a.mp3")
    assert told.exit_code == 0
    assert "epic brass" in told.stdout
    assert "32000" in told.stdout
    facts = json.loads(run("inspect", "a.mp3", "--json").stdout)
    assert facts["made_by"]["seed"] == 3
    assert facts["made_by"]["notice"] == "AI-generated music"
    assert facts["loudness_lufs"] == pytest.approx(-14, abs=1)


def test_inspect_any_file(folder: Path) -> None:
    (folder / "a.flac").write_bytes(sound_file("flac"))
    facts = json.loads(run("inspect", "a.flac", "--json").stdout)
    assert facts["made_by"] is None
    assert facts["duration_s"] == 1.0


def test_inspect_draws(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    (folder / "a.wav").write_bytes(sound_file())
    assert run("inspect", "a.wav", "--plot", "a.png").exit_code == 0
    assert (folder / "a.png").read_bytes().startswith(b"\x89PNG")
    assert_refused(run("inspect", "a.wav", "--plot", "a.png"), "exists")
    assert run("inspect", "a.wav", "--plot", "a.png", "--force").exit_code == 0


def test_inspect_silence(folder: Path) -> None:
    from fanfare.audio.io import encode

    (folder / "a.wav").write_bytes(encode(np.zeros((1, 32000), np.float32), 32000, "wav"))
    facts = json.loads(run("inspect", "a.wav", "--json").stdout)
    assert facts["loudness_lufs"] is None


@pytest.mark.parametrize("name", ["nowhere.wav", ".", "text.wav"])
def test_inspect_refuses(folder: Path, name: str) -> None:
    (folder / "text.wav").write_text("text")
    assert_refused(run("inspect", name), "file")


def test_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    from fanfare import doctor

    result = run("doctor")
    for word in ("torch", "cpu", "memory", "libsndfile", "PyAV", "epic-mini"):
        assert word in result.stdout
    findings = json.loads(run("doctor", "--json").stdout)
    assert {"name", "value", "ok"} == set(findings[0])
    monkeypatch.setattr(doctor, "BUILTIN", Path("/nowhere"))
    missing = run("doctor")
    assert missing.exit_code == 1
    assert "MISSING" in missing.stdout


def test_progress_is_shown_where_somebody_watches(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fanfare.cli.console.is_watched", lambda quiet: not quiet)
    monkeypatch.setenv("FORCE_COLOR", "1")  # has rich take the pipe for a terminal
    watched = run("generate", "epic", "--duration=1", "--seed=1")
    assert watched.stdout == "epic-s1.wav\n"
    assert "generating" in watched.stderr
    assert run("generate", "epic", "--duration=1", "--seed=2", "--quiet").stderr == ""


def test_help_is_quick_and_loads_nothing_heavy() -> None:
    program = (
        "import sys, time; t = time.process_time(); sys.argv = ['fanfare', 'generate', '--help']\n"
        "from fanfare.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'av', 'transformers', 'soundfile'} & set(sys.modules)\n"
        "print(sorted(heavy), time.process_time() - t, file=sys.stderr)\n"
    )
    shortest_s = 9.0
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        heavy, seconds = done.stderr.rsplit("]", 1)
        assert heavy == "["
        shortest_s = min(shortest_s, float(seconds))
    assert shortest_s < 0.5


def test_interrupted_leaves_nothing_half_written(folder: Path) -> None:
    command = [sys.executable, "-m", "fanfare.cli", "generate", "epic", "--duration=5",
               "--count=100"]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE,
                               env=os.environ)  # fmt: skip
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and not list(folder.glob("*.wav")):  # a whole one
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert b"Traceback" not in said
    assert names(folder)
    for name in names(folder):
        assert read_audio(folder / name).duration_s == 5.0
