"""Damaged checkpoints load, or are refused: nothing else, in no time, and in no memory to speak of.

What this finds is kept as a case of its own in `test_hostile_files.py` and its neighbour.
"""

from __future__ import annotations

import copy
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml  # type: ignore[import-untyped]

import fanfare.weights.codec as weights_codec
import fanfare.weights.text as weights_text
from fanfare.nn.partials import PartialsConfig
from fanfare.weights.audiocraft_layout import load_audiocraft
from fanfare.weights.codec import encodec_config, load_codec_folder
from fanfare.weights.diffusion import load_diffusion
from fanfare.weights.load import load_bundle
from fanfare.weights.parts import Parts
from fanfare.weights.tensors import read_json
from fanfare.weights.text import load_text_folder
from guards import outcome
from layouts import (
    SMALLEST,
    audiocraft_codec,
    codec_config,
    language_model,
    omegaconf,
    training_config,
    write_audiocraft,
    write_codec_folder,
    write_export,
    write_text_folder,
    write_training,
    write_transformers,
)
from mutations import WEIRD, Files, damage_files, damage_value
from tiny import write_checkpoint, write_diffusion, write_lapped

N_CASES = 2000
MELODY = replace(SMALLEST, n_chroma=2)
GOLDEN = Path(__file__).parent.parent / "golden"

Load = Callable[[Path], object]


@dataclass(frozen=True)
class Format:
    """Sound files of one layout, and how they are loaded from the folder that holds them."""

    files: Files
    load: Load


def read_files(folder: Path) -> Files:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file() and file.name != "generation_config.json"
    }


@pytest.fixture(scope="module")
def formats(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Format]:
    """Every layout, tiny."""
    root = tmp_path_factory.mktemp("sound")
    text = write_text_folder(root / "t5", SMALLEST)
    codec = write_codec_folder(root / "codec", SMALLEST)
    parts = Parts(text_encoder=text, codec=codec)
    listens = encodec_config(read_json(codec / "config.json"), "codec")

    def load_file(folder: Path) -> object:
        return load_audiocraft(folder / "file", parts, device="cpu", dtype=torch.float32)

    def load_folder(folder: Path) -> object:
        return load_bundle(folder, text_encoder=text)

    def load_codec_only(folder: Path) -> object:
        return load_codec_folder(folder, channels=1, n_codebooks=1, device="cpu")

    def only(file: Path) -> Files:
        return {"file": file.read_bytes()}

    made = {
        "audiocraft folder": (read_files(write_audiocraft(root / "hub", SMALLEST)), load_folder),
        "export": (only(write_export(root / "export", MELODY)), load_file),
        "training": (only(write_training(root / "training", SMALLEST)), load_file),
        "legacy training": (only(write_training(root / "old", SMALLEST, legacy=True)), load_file),
        "transformers": (read_files(write_transformers(root / "hf", MELODY)), load_bundle),
        "transformers, pickled": (
            read_files(write_transformers(root / "bin", SMALLEST, pickled=True, shards=2)),
            load_bundle,
        ),
        "text encoder": (read_files(text), lambda folder: load_text_folder(folder, device="cpu")),
        "codec": (read_files(codec), load_codec_only),
        "codec of our own": (read_files(write_lapped(root / "lapped")), load_codec_only),
        "listening codec": (
            read_files(write_lapped(root / "listening", listens)),
            load_codec_only,
        ),
        "codec with partials": (
            read_files(write_lapped(root / "partials", partials=PartialsConfig(500.0, 12, 9, 4))),
            load_codec_only,
        ),
        "our own": (read_files(write_checkpoint(root / "own", "text")), load_bundle),
        "our own diffusion": (
            read_files(write_diffusion(root / "bands")),
            lambda folder: load_diffusion(folder, device="cpu"),
        ),
        **diffusion_formats(),
    }
    return {name: Format(files, load) for name, (files, load) in made.items()}


def diffusion_formats() -> dict[str, tuple[Files, Load]]:
    """The published layout of the diffusion weights."""
    files = sorted((GOLDEN / "diffusion").glob("*.th"))
    return {
        f"diffusion {file.stem}": (
            {"file": file.read_bytes()},
            lambda folder: load_diffusion(folder / "file", device="cpu"),
        )
        for file in files
    }


def write_files(folder: Path, files: Files) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def damaged_values(rng: random.Random, folder: Path) -> str:
    """A file of audiocraft's whose settings or tensors are other ones; the format it is of."""
    name = rng.choice(["audiocraft folder", "export", "training"])
    tensors: Any = language_model(SMALLEST)
    config: Any = training_config(SMALLEST)
    if rng.randrange(2):
        config = damage_value(rng, config)
    else:
        key = rng.choice(sorted(tensors))
        tensors[key] = damaged_tensor(rng, tensors[key])
    if name == "audiocraft folder":
        text = yaml.safe_dump(config)
        torch.save({"best_state": tensors, "xp.cfg": text}, folder / "state_dict.bin")
        if rng.randrange(3) == 0:
            text = json.dumps(damage_value(rng, codec_config(SMALLEST)))
            values = {"best_state": audiocraft_codec(SMALLEST), "xp.cfg": text}
            torch.save(values, folder / "compression_state_dict.bin")
    else:
        with omegaconf() as wrapped:
            torch.save({"model": tensors, "xp.cfg": wrapped(config)}, folder / "file")
    return name


def damaged_tensor(rng: random.Random, tensor: torch.Tensor) -> object:
    return rng.choice(
        [
            tensor.half(), tensor.double(), tensor.to(torch.bfloat16), tensor.long(),
            tensor.bool(), tensor.to(torch.complex64), tensor.to(torch.float8_e4m3fn),
            tensor * float("nan"), tensor * 1e30, tensor[:0], tensor[None], tensor.flatten(),
            tensor[:1].expand(1000, *tensor.shape[1:]), torch.zeros(1).expand(10**9),
            tensor.mT.contiguous().mT if tensor.dim() > 1 else tensor.flip(0),
            torch.nn.Parameter(tensor), tensor.to_sparse(), rng.choice(WEIRD),
            tensor.to("meta"), tensor.as_strided(tensor.shape, [1] * tensor.dim()),
        ]
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _kept_skeletons(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make each empty codec and text encoder once: that is most of the time a load takes."""
    for module, name in ((weights_codec, "empty_codec"), (weights_text, "empty_text_encoder")):
        monkeypatch.setattr(module, name, kept(getattr(module, name)))


def kept(make: Callable[..., torch.nn.Module]) -> Callable[..., torch.nn.Module]:
    """`make`, copying what it made of the same configuration before."""
    made: dict[str, torch.nn.Module] = {}

    def copied(*given: Any) -> torch.nn.Module:
        key = repr(given)
        if key not in made:
            made[key] = make(*given)
        return copy.deepcopy(made[key])

    return copied


@pytest.mark.slow
def test_sound_files_load(formats: dict[str, Format], tmp_path: Path) -> None:
    assert any(name.startswith("diffusion") for name in formats)
    for name, form in formats.items():
        write_files(tmp_path / "case", form.files)
        assert outcome(partial(form.load, tmp_path / "case")) == "loaded", name


@pytest.mark.slow
def test_damaged_files_load_or_are_refused(formats: dict[str, Format], tmp_path: Path) -> None:
    wrong, counts = [], {"loaded": 0, "refused": 0}
    for form in formats.values():  # what every load leaves in memory isn't any one's fault
        write_files(tmp_path / "case", form.files)
        form.load(tmp_path / "case")
    for seed in range(N_CASES):
        rng = random.Random(seed)
        folder = tmp_path / "case"
        if rng.randrange(4) == 0:
            name = "audiocraft folder"
            write_files(folder, formats[name].files)
            try:
                name = damaged_values(rng, folder)
            except (RecursionError, ValueError, yaml.YAMLError):
                continue  # what can't be written can't be read
        else:
            name = rng.choice(sorted(formats))
            write_files(folder, damage_files(rng, formats[name].files))
        result = outcome(partial(formats[name].load, folder))
        kind = result.partition(":")[0]
        if kind in counts:
            counts[kind] += 1
        else:
            wrong.append((seed, name, result))
    assert not wrong, "\n".join(map(str, wrong))
    assert min(counts.values()) > N_CASES / 20, counts
