"""Files made to do harm, and what random damage has found: each is refused, in little memory."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml  # type: ignore[import-untyped]

from fanfare.errors import CheckpointError
from fanfare.weights.audiocraft_layout import load_audiocraft
from fanfare.weights.codec import load_codec_folder
from fanfare.weights.load import load_bundle
from fanfare.weights.parts import Parts
from fanfare.weights.tensors import not_finite, open_safetensors
from fanfare.weights.text import load_text_folder
from fanfare.weights.unpickle import open_pickle, read_pickle
from guards import check_refused, outcome
from layouts import (
    SMALLEST,
    language_model,
    omegaconf,
    training_config,
    write_audiocraft,
    write_codec_folder,
    write_text_folder,
    write_training,
    write_transformers,
)

HUGE = 10**9


def load(file: Path, parts: Parts, dtype: torch.dtype = torch.float32) -> Any:
    return load_audiocraft(file, parts, device="cpu", dtype=dtype)


class Call:
    """Pickled as a call."""

    def __init__(self, function: Callable[..., object], *args: object) -> None:
        self.call = function, args

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


def harm(folder: Path) -> dict[str, Call]:
    """Calls that would make `folder`, or do worse."""
    made = f"__import__('os').mkdir({str(folder)!r})"
    return {
        "posix.mkdir": Call(os.mkdir, str(folder)),
        "posix.system": Call(os.system, f"mkdir {folder}"),
        "builtins.eval": Call(eval, made),
        "builtins.exec": Call(exec, made),
        "builtins.getattr": Call(getattr, str(folder), "upper"),
        "torch.serialization.load": Call(torch.load, str(folder)),
        "_pickle.loads": Call(pickle.loads, pickle.dumps(Call(os.mkdir, str(folder)))),
        "torch.storage._load_from_bytes": Call(torch.storage._load_from_bytes, b""),
        "io.open": Call(open, str(folder), "w"),
    }


@pytest.mark.parametrize("name", harm(Path("x")))
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("legacy", [False, True])
def test_no_call_is_made(tmp_path: Path, name: str, protocol: int, legacy: bool) -> None:
    folder, file = tmp_path / "harm", tmp_path / "state_dict.bin"
    call = harm(folder)[name]
    for values in (
        {"best_state": call, "xp.cfg": ""},
        {"best_state": language_model(SMALLEST), "xp.cfg": call},
        call,
    ):
        torch.save(
            values, file, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy
        )
        check_refused(partial(load_bundle, file), "refused to unpickle it: it names")
        check_refused(partial(read_pickle, file), "refused to unpickle it: it names")
    assert not folder.exists()


def test_no_call_is_made_from_within_settings(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with omegaconf() as wrapped:
        config = wrapped(training_config(SMALLEST))
        config._content["dataset"]._val = Call(os.mkdir, str(tmp_path / "harm"))
        torch.save({"model": language_model(SMALLEST), "xp.cfg": config}, file)
    check_refused(partial(load_bundle, file), "it names")
    assert not (tmp_path / "harm").exists()


def test_pickles_that_python_itself_reads_are_no_checkpoints(tmp_path: Path) -> None:
    file = tmp_path / "model.th"
    for values in (Call(os.mkdir, str(tmp_path / "harm")), {"best_state": {}, "xp.cfg": ""}):
        file.write_bytes(pickle.dumps(values))
        assert outcome(partial(load_bundle, file)).startswith("refused: ")
    assert not (tmp_path / "harm").exists()


class Reference:
    """Pickled as a persistent id: how a storage is referred to."""

    def __init__(self, *parts: object) -> None:
        self.parts = parts


class Pickler(pickle.Pickler):
    def persistent_id(self, value: object) -> object:
        return value.parts if isinstance(value, Reference) else None


def tensor(
    n_stored: int, shape: object, stride: object, offset: object = 0, kind: object = None
) -> Call:
    """A tensor of float32, as torch pickles it, whatever sense it makes."""
    storage = Reference("storage", kind or torch.FloatStorage, "0", "cpu", n_stored)
    return Call(torch._utils._rebuild_tensor_v2, storage, offset, shape, stride, False, None)


def write_zip(file: Path, values: object, n_bytes: int = 64, method: int = 0) -> Path:
    """A file of `torch.save` with one storage."""
    content = io.BytesIO()
    Pickler(content, 2).dump(values)
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("x/data.pkl", content.getvalue())
        archive.writestr("x/byteorder", "little")
        archive.writestr("x/data/0", bytes(n_bytes))
    return file


def test_such_files_are_read_if_they_are_sound(tmp_path: Path) -> None:
    values = {"a": tensor(16, (2, 4), (4, 1), 8), "b": tensor(16, (4, 4), (1, 4)), "c": []}
    read = read_pickle(write_zip(tmp_path / "x", values))
    assert (read["a"].shape, read["b"].stride(), read["c"]) == ((2, 4), (1, 4), [])


TENSORS = {
    "more than the storage": (tensor(16, (4, 5), (5, 1)), "larger than its storage"),
    "beyond the storage": (tensor(16, (4,), (1,), 13), "larger than its storage"),
    "a huge storage": (tensor(HUGE, (HUGE,), (1,)), "a storage of 4000000000 bytes has 64"),
    "one element, a billion times": (tensor(1, (HUGE,), (0,)), "repeats its elements"),
    "rows that overlap": (tensor(16, (8, 8), (1, 1)), "repeats its elements"),
    "huge strides": (tensor(16, (2, 2), (2**40, 1)), "larger than its storage"),
    "numbers without end": (tensor(16, (10**30,), (1,)), "impossible shape"),
    "backwards": (tensor(16, (4,), (-1,), 8), "impossible shape"),
    "no numbers": (tensor(16, ("4",), (1,)), "impossible shape"),
    "shape and stride apart": (tensor(16, (4, 4), (1,)), "impossible shape"),
    "a hundred axes": (tensor(16, (1,) * 100, (1,) * 100), "impossible shape"),
    "a negative storage": (tensor(-1, (0,), (1,)), "impossible size"),
    "a storage of code": (tensor(16, (4,), (1,), 0, os.system), "it names"),
    "no storage": (
        Call(torch._utils._rebuild_tensor_v2, [1], 0, (1,), (1,), False, None),
        "without a storage",
    ),
    "a reference to nothing": (Reference("storage", torch.FloatStorage, "7", "cpu", 1), "data/7"),
    "a reference to code": (Reference("module", "os"), "reference"),
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_that_lie(tmp_path: Path, name: str) -> None:
    value, complaint = TENSORS[name]
    file = write_zip(tmp_path / "x", {"best_state": {"a": value}})
    check_refused(partial(open_pickle, file), complaint)


def test_a_small_file_isnt_used_a_thousand_times(tmp_path: Path) -> None:
    many = {str(i): tensor(2**20, (2**20,), (1,)) for i in range(1000)}
    file = write_zip(tmp_path / "x", {"best_state": many, "xp.cfg": "a: 1"}, 2**22)
    check_refused(partial(read_pickle, file), "its tensors are 4.2 GB, of a file of 0.0 GB")
    check_refused(partial(load_bundle, file), "its tensors are 4.2 GB, of a file of 0.0 GB")


def test_packed_entries_are_refused_before_they_grow(tmp_path: Path) -> None:
    sound = {"best_state": {"a": tensor(16, (16,), (1,))}}
    packed = write_zip(tmp_path / "packed", sound, 300_000_000, zipfile.ZIP_DEFLATED)
    assert packed.stat().st_size < 1_000_000
    check_refused(partial(read_pickle, packed), "compressed or encrypted")
    # The directory of the zip says more than the file holds.
    content = bytearray(write_zip(tmp_path / "long", sound).read_bytes())
    entry = content.rindex(b"x/data/0") - 46
    content[entry + 20 : entry + 28] = struct.pack("<II", 2**31, 2**31)
    (tmp_path / "long").write_bytes(content)
    check_refused(partial(read_pickle, tmp_path / "long"), "cut off")


@pytest.mark.parametrize("legacy", [False, True])
def test_cut_files(tmp_path: Path, parts: Parts, legacy: bool) -> None:
    content = write_training(tmp_path / "whole", SMALLEST, legacy=legacy).read_bytes()
    for share in (0.0, 0.0001, 0.1, 0.5, 0.9, 0.999):
        (tmp_path / "cut").write_bytes(content[: int(share * len(content))])
        check_refused(partial(load, tmp_path / "cut", parts), "cut: ")


LENGTHS = {
    "text": b"\x8d" + struct.pack("<Q", 2**38),
    "text of four bytes' length": b"X" + struct.pack("<I", 2**31),
    "bytes": b"\x8e" + struct.pack("<Q", 2**38),
    "a number": b"\x8b" + struct.pack("<i", 2**31 - 1),
    "less than nothing": b"\x8b" + struct.pack("<i", -1),
    "more than an index holds": b"\x8d" + struct.pack("<Q", 2**63),
}


@pytest.mark.parametrize("name", LENGTHS)
def test_lengths_that_lie_in_old_files(tmp_path: Path, name: str) -> None:
    file = tmp_path / "x"
    torch.save({"best_state": {}}, file, _use_new_zipfile_serialization=False)
    content = file.read_bytes()
    for end in (0, content.index(b"}q")):  # of the file's mark, and of its values
        file.write_bytes(content[:end] + b"\x80\x02" + LENGTHS[name] + content)
        check_refused(partial(open_pickle, file), "x: ")


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_cut_files_of_a_folder(tmp_path: Path, name: str) -> None:
    folder = write_transformers(tmp_path / "hf", SMALLEST)
    content = (folder / name).read_bytes()
    for size in (0, 1, 7, 8, len(content) // 2, len(content) - 1):
        (folder / name).write_bytes(content[:size])
        check_refused(partial(load_bundle, folder), name)
    (folder / name).unlink()
    check_refused(partial(load_bundle, folder), name)


DTYPES = ["int64", "int8", "bool", "complex64", "float8_e4m3fn"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_weights_are_real_numbers(tmp_path: Path, parts: Parts, dtype: str) -> None:
    tensors = language_model(SMALLEST)
    name = "transformer.layers.0.linear1.weight"
    tensors[name] = tensors[name].to(getattr(torch, dtype))
    values = {"best_state": tensors, "xp.cfg": yaml.safe_dump(training_config(SMALLEST))}
    torch.save(values, tmp_path / "x")
    check_refused(partial(load, tmp_path / "x", parts), f"{name}: {dtype} where weights belong")


@pytest.mark.parametrize("change", ["flat", "more", "none", "gone", "added", "no tensor", "nested"])
def test_tensors_that_dont_fit(tmp_path: Path, parts: Parts, change: str) -> None:
    tensors: dict[str, Any] = language_model(SMALLEST)
    name = "transformer.layers.0.self_attn.in_proj_weight"
    complaint = name
    if change == "flat":
        tensors[name] = tensors[name].flatten()
    elif change == "more":
        tensors[name] = torch.cat([tensors[name]] * 2)
    elif change == "none":
        tensors[name] = tensors[name][:0]
    elif change == "gone":
        del tensors[name]
        complaint = f"Missing: {name}. Unknown: nothing."
    elif change == "added":
        tensors["x.y"] = tensors[name]
        complaint = "Missing: nothing. Unknown: x.y."
    else:
        tensors[name] = 3 if change == "no tensor" else {"a": tensors[name]}
        complaint = f"{name} is no tensor"
    values = {"best_state": tensors, "xp.cfg": yaml.safe_dump(training_config(SMALLEST))}
    torch.save(values, tmp_path / "x")
    check_refused(partial(load, tmp_path / "x", parts), complaint)


def test_attention_under_two_names(tmp_path: Path, parts: Parts) -> None:
    tensors = language_model(SMALLEST)
    name = "transformer.layers.0.self_attn.out_proj.weight"
    tensors[name.replace("attn.", "attn.mha.")] = tensors[name]
    values = {"best_state": tensors, "xp.cfg": yaml.safe_dump(training_config(SMALLEST))}
    torch.save(values, tmp_path / "x")
    check_refused(partial(load, tmp_path / "x", parts), "under two names")


def test_what_isnt_a_number_is_loaded_and_found(tmp_path: Path, parts: Parts) -> None:
    tensors = language_model(SMALLEST)
    tensors["out_norm.bias"][1] = float("nan")
    tensors["linears.0.weight"][0, 0] = float("inf")
    config = yaml.safe_dump(training_config(SMALLEST))
    torch.save({"best_state": tensors, "xp.cfg": config}, tmp_path / "x")
    lm = load(tmp_path / "x", parts).lm
    assert not_finite(lm) == ["out_norm.bias", "heads.0.weight"]
    assert not_finite(load(write_training(tmp_path / "y", SMALLEST), parts).lm) == []


def test_weights_too_large_for_float16_arent_made_infinite(tmp_path: Path, parts: Parts) -> None:
    tensors = language_model(SMALLEST)
    tensors["transformer.layers.0.linear1.weight"][0, 0] = 1e6
    config = yaml.safe_dump(training_config(SMALLEST))
    torch.save({"best_state": tensors, "xp.cfg": config}, tmp_path / "x")
    check_refused(
        partial(load, tmp_path / "x", parts, torch.float16),
        "a weight of 1e+06 is too large for float16; load it as bfloat16",
    )
    assert load(tmp_path / "x", parts, torch.bfloat16).lm.layers[0].linear1.weight.max() > 9e5


def write_safetensors(folder: Path, header: object, data: bytes) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    content = struct.pack("<Q", len(text)) + text + data
    (folder / "model.safetensors").write_bytes(content)


def entry(first: int, last: int, *shape: object, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [first, last]}


HEADERS: dict[str, tuple[Any, str]] = {
    "not JSON": (b"{" * 20, "damaged"),
    "deep": (b'{"a":' * 100_000, "damaged"),
    "a list": ([1], "no JSON object"),
    "no entry": ({"a": 3}, "damaged"),
    "an unknown type": ({"a": entry(0, 16, 4, dtype="Q7")}, "'Q7'"),
    "beyond the file": ({"a": entry(0, 32, 8)}, "end at"),
    "a terabyte": ({"a": entry(0, 2**40, 2**38)}, "end at"),
    "less than the shape": ({"a": entry(0, 16, 2**40)}, "16 bytes for a tensor"),
    "backwards": ({"a": entry(16, 0, 4)}, "bytes for a tensor"),
    "a negative shape": ({"a": entry(0, 16, -2, -2)}, "impossible shape"),
    "no numbers": ({"a": entry(0, 16, "4")}, "impossible shape"),
    "one place twice": ({"a": entry(0, 16, 4), "b": entry(0, 16, 4)}, "overlap"),
    "a gap": ({"a": entry(4, 16, 3)}, "gaps"),
    "bytes too many": ({"a": entry(0, 8, 2)}, "end at"),
    "one name twice": (
        b'{"a": {"dtype":"F32","shape":[4],"data_offsets":[0,16]}, "a": 1}', "twice",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_safetensors_headers(tmp_path: Path, name: str) -> None:
    header, complaint = HEADERS[name]
    write_safetensors(tmp_path, header, bytes(16))
    check_refused(partial(open_safetensors, tmp_path), complaint)


@pytest.mark.parametrize("length", [0, 1, 2**20, 2**40, 2**64 - 1])
def test_safetensors_header_lengths(tmp_path: Path, length: int) -> None:
    content = struct.pack("<Q", length) + b'{"a": 1}'
    (tmp_path / "model.safetensors").write_bytes(content)
    check_refused(partial(open_safetensors, tmp_path), "damaged")


@pytest.mark.parametrize(
    "index",
    [
        {},
        {"weight_map": []},
        {"weight_map": {"a": 3}},
        {"weight_map": {"a": [1]}},
        {"weight_map": {"a": "../../../etc/passwd"}},
        {"weight_map": {"a": "/etc/passwd"}},
        {"weight_map": {"a": ".."}},
        {"weight_map": {"a": "\x00"}},
        {"weight_map": {"a": "9" * 5000}},  # a name that the file system has no room for
        {"weight_map": {"a": "gone.safetensors"}},
    ],
)
def test_indices_of_shards(tmp_path: Path, index: object) -> None:
    write_safetensors(tmp_path, {"a": entry(0, 16, 4)}, bytes(16))
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    result = outcome(partial(open_safetensors, tmp_path))
    assert result.startswith("refused: "), result


def test_a_tensor_in_two_shards(tmp_path: Path) -> None:
    folder = write_transformers(tmp_path / "hf", SMALLEST, pickled=True, shards=2)
    shards = sorted(folder.glob("*.bin"))
    shards[1].write_bytes(shards[0].read_bytes())
    check_refused(partial(load_bundle, folder), "which another shard holds too")


def test_a_tokenizer_with_more_words_than_the_text_encoder(tmp_path: Path) -> None:
    folder = write_text_folder(tmp_path / "t5", SMALLEST)
    text = (folder / "tokenizer.json").read_text().replace('"choir": 8', '"choir": 999')
    (folder / "tokenizer.json").write_text(text)
    check_refused(partial(load_text_folder, folder, device="cpu"), "knows token 999")


def test_weight_norm_that_doesnt_fit(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = write_codec_folder(tmp_path / "codec", SMALLEST)
    tensors = load_file(folder / "model.safetensors")
    name = next(name for name in tensors if name.endswith("original0"))
    tensors[name] = tensors[name].expand(-1, 3, 3).contiguous()
    save_file(tensors, folder / "model.safetensors")
    act = partial(load_codec_folder, folder, channels=1, n_codebooks=1, device="cpu")
    check_refused(act, "its weight norm is")


# What random damage has found.


def test_text_operations_of_old_pickles_say_nothing(tmp_path: Path) -> None:
    """Reading one warned of an escape sequence, and a warning is nobody's business."""
    for code in (b"S'\\q'\n.", b"I99999\n.", b"cos\\\nsystem\n.", b"(i__main__\nX\n."):
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as made:
            made.writestr("x/data.pkl", code)
        (tmp_path / "x").write_bytes(archive.getvalue())
        check_refused(partial(load_bundle, tmp_path / "x"), "refused to unpickle")


def test_a_folder_of_audiocrafts_with_a_codec_that_isnt_one(tmp_path: Path, parts: Parts) -> None:
    folder = write_audiocraft(tmp_path / "hub", SMALLEST)
    for values in ({}, {"pretrained": 3}, {"pretrained": "/etc"}, {"best_state": {}, "xp.cfg": ""}):
        torch.save(values, folder / "compression_state_dict.bin")
        with pytest.raises(CheckpointError, match=r"compression_state_dict\.bin"):
            load_bundle(folder, text_encoder=parts.text_encoder)
