"""Settings made to do harm, in YAML, JSON and pickles: each is refused, in little memory."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from fanfare.weights.audiocraft_layout import load_audiocraft
from fanfare.weights.load import load_bundle
from fanfare.weights.parts import Parts
from fanfare.weights.unpickle import open_pickle, read_config
from guards import check_refused, outcome
from layouts import (
    SMALLEST,
    codec_config,
    language_model,
    omegaconf,
    training_config,
    write_audiocraft,
    write_transformers,
)
from tiny import write_checkpoint

HUGE = 10**9


@pytest.fixture(scope="module")
def sound_folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder of transformers' for each test to write a `config.json` into, and the sound one."""
    folder = write_transformers(tmp_path_factory.mktemp("sound") / "hf", SMALLEST)
    return folder, (folder / "config.json").read_text()


def load(file: Path, parts: Parts, dtype: torch.dtype = torch.float32) -> Any:
    return load_audiocraft(file, parts, device="cpu", dtype=dtype)


LAUGHS = "a: &a [x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 8)}]\n"
    for old, new in zip("abcdefghij", "bcdefghijk", strict=True)
)
MERGED = "a: &a {x: 1}\n" + "".join(
    f"{new}: &{new}\n  <<: [{', '.join([f'*{old}'] * 8)}]\n"
    for old, new in zip("abcdefghij", "bcdefghijk", strict=True)
)
REFERRED = "a: [x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}:\n" + f"- ${{{old}}}\n" * 8 for old, new in zip("abcdefghij", "bcdefghijk", strict=True)
)
TEXTS = {
    "aliases": (LAUGHS, "refers to other parts of itself"),
    "merged aliases": (MERGED, "refers to other parts of itself"),
    "references": (REFERRED, "larger than any"),
    "deep": ("[" * 50_000, "isn't YAML"),
    "deep blocks": ("\n".join("  " * i + "a:" for i in range(300)), "larger than any"),
    "long": ("a: " + "x" * 200_000, "longer than any"),
    "a list": ("[1, 2]", "no configuration"),
    "a word": ("word", "no configuration"),
    "nothing": ("", "no configuration"),
    "an object": ("!!python/object/apply:os.system ['true']", "isn't YAML"),
    "a number without end": ("a: " + "9" * 4000, "number without end"),
    "a number that Python refuses": ("a: " + "9" * 5000, "isn't YAML"),
    "an impossible date": ("a: 2020-13-45", "isn't YAML"),
    "an empty number": ('a: !!int ""', "isn't YAML"),
    "unprintable": ("a: \x00", "isn't YAML"),
    "tabs": ("a:\n\t- b", "isn't YAML"),
    "a key that is a list": ("? [1]\n: 2", "isn't YAML"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_settings_in_text(name: str) -> None:
    text, complaint = TEXTS[name]
    check_refused(partial(read_config, text, "x"), complaint)


def test_settings_in_pickles(tmp_path: Path) -> None:
    """Objects that hold each other, or each the next one eight times."""
    with omegaconf() as wrapped:
        loop, laughs = wrapped({}), wrapped(["x"])
        loop._content["a"] = loop
        for _ in range(30):
            outer = wrapped([])
            outer._content = [laughs] * 8
            laughs = outer
        for value in (loop, wrapped({"a": laughs})):
            torch.save({"model": language_model(SMALLEST), "xp.cfg": value}, tmp_path / "x")
            values = open_pickle(tmp_path / "x")
            check_refused(partial(read_config, values["xp.cfg"], "x"), "larger than any")


def change(config: Any, path: str, value: object) -> Any:
    """`config` with another value at "a.b.c"."""
    *parents, last = path.split(".")
    place = config
    for key in parents:
        place = place[key]
    place[last] = value
    return config


@pytest.mark.parametrize("value", [HUGE, 10**400, -1, 0, True, "4", None, [4, 4], {}, 1.5])
@pytest.mark.parametrize(
    "path",
    [
        "transformer_lm.num_layers", "transformer_lm.n_q", "transformer_lm.card",
        "transformer_lm.dim", "transformer_lm.num_heads", "sample_rate",
        "codebooks_pattern.delay.delays", "transformer_lm", "fuser", "conditioners.description",
    ],
)  # fmt: skip
def test_settings_of_impossible_size(
    tmp_path: Path, parts: Parts, path: str, value: object
) -> None:
    config = change(training_config(SMALLEST), path, value)
    values = {"best_state": language_model(SMALLEST), "xp.cfg": json.dumps(config)}
    torch.save(values, tmp_path / "x")
    result = outcome(partial(load, tmp_path / "x", parts))
    if path.endswith("delays") and not value and value is not False:
        assert result == "loaded"  # no delays are the usual ones
    else:
        assert result.startswith("refused: "), result


@pytest.mark.parametrize("value", [HUGE, -1, 0, "4", [HUGE], {}, 1.5, float("nan")])
@pytest.mark.parametrize(
    "path",
    [
        "decoder.num_hidden_layers", "decoder.num_codebooks", "decoder.vocab_size", "decoder",
        "text_encoder.num_layers", "text_encoder.vocab_size", "text_encoder.d_kv",
        "text_encoder.relative_attention_num_buckets", "text_encoder",
        "audio_encoder.num_lstm_layers", "audio_encoder.num_residual_layers",
        "audio_encoder.upsampling_ratios", "audio_encoder.target_bandwidths",
        "audio_encoder.codebook_size", "audio_encoder.num_filters", "audio_encoder.sampling_rate",
        "audio_encoder.hidden_size",
    ],
)  # fmt: skip
def test_configurations_of_impossible_size(
    sound_folder: tuple[Path, str], path: str, value: object
) -> None:
    folder, config = sound_folder
    (folder / "config.json").write_text(json.dumps(change(json.loads(config), path, value)))
    result = outcome(partial(load_bundle, folder))
    assert result.startswith("refused: "), result


@pytest.mark.parametrize("key", ["n_layers", "n_codebooks", "dim", "delays", "plan_context"])
def test_our_own_cards_of_impossible_size(tmp_path: Path, key: str) -> None:
    folder = write_checkpoint(tmp_path / "own", "plan")
    card = json.loads((folder / "fanfare.json").read_text())
    for value in (HUGE, -1, "4", [HUGE], 1.5):
        changed = json.dumps(change(card, f"lm.{key}", value))
        (folder / "fanfare.json").write_text(changed)
        result = outcome(partial(load_bundle, folder))
        assert result.startswith("refused: "), result


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("[1]", "not a JSON object"),
        ("{" * 100_000, "not readable as JSON"),
        ('{"a":' * 60 + "1" + "}" * 60, "nested deeper"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "not readable as JSON"),
        ('{"model_type": ' + "9" * 5000 + "}", "not readable as JSON"),
        ('{"model_type": ' + "9" * 4000 + "}", "must be musicgen"),
        ('{"model_type": 1e999}', "must be musicgen"),
        ("\ufeff{}", "not readable as JSON"),
        ('{"a": "' + "x" * 2**25 + '"}', "larger than any configuration"),
    ],
)
def test_json(tmp_path: Path, content: str, complaint: str) -> None:
    (tmp_path / "config.json").write_text(content)
    check_refused(partial(load_bundle, tmp_path), complaint)


@pytest.mark.parametrize("key", ["n_residual_layers", "lstm", "compress", "pad_mode", "ratios"])
def test_settings_of_a_codec_of_the_wrong_kind(tmp_path: Path, parts: Parts, key: str) -> None:
    folder = write_audiocraft(tmp_path / "hub", SMALLEST)
    file = folder / "compression_state_dict.bin"
    values = torch.load(file, weights_only=True)
    for value in ("9" * 5000, -1, None, [], HUGE, {}):
        config = change(codec_config(SMALLEST), f"seanet.{key}", value)
        torch.save({**values, "xp.cfg": json.dumps(config)}, file)
        check_refused(partial(load_bundle, folder, text_encoder=parts.text_encoder), key)


def test_messages_are_of_a_readable_length(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "own", "text")
    card = json.loads((folder / "fanfare.json").read_text())
    for value in (list(range(3000)), "x" * 100_000):
        changed = json.dumps(change(card, "lm.text_fusion", value))
        (folder / "fanfare.json").write_text(changed)
        check_refused(partial(load_bundle, folder), "text_fusion")
    for value in (list(range(3000)), "x" * 100_000):
        (folder / "fanfare.json").write_text(json.dumps({**card, "format": value}))
        check_refused(partial(load_bundle, folder), "isn't known")
