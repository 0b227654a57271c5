"""How much memory and time does it take to load a large checkpoint?

The least there can be is the size of the weights in memory, and the time to read the file and to
convert it. Random weights in the shape of the published 1.5 B melody model are written in every
layout, and each file is loaded in a process of its own. What counts as memory:

    anonymous   RssAnon: pages that belong to the process alone; sampled every 2 ms
    resident    VmHWM: these and the pages of mapped files (libraries; the loader maps no weights)

Each is the peak while loading, less what the process had before. The text encoder and the codec
are tiny, so that the language model is what is measured. Prints a table and ends with one line of
JSON. The files, up to 5.6 GB at a time, are in the page cache when they are loaded.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import EncodecConfig, EncodecModel, T5Config, T5EncoderModel

from fanfare.nn.config import LmConfig
from fanfare.nn.lm import LanguageModel
from fanfare.weights import audiocraft_layout, transformers_layout
from fanfare.weights.load import load_bundle
from fanfare.weights.published import PUBLISHED
from fanfare.weights.tensors import original_names

MB = 1024 * 1024
DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
CASES = {"float16": ("float16", "bfloat16", "float32"), "float32": ("float32", "float16")}
"""Types to load as, by type on disk."""


def random_weights(config: LmConfig, dtype: torch.dtype) -> dict[str, Tensor]:
    """Weights under our own names; those of one shape are the same numbers."""
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in LanguageModel(config).state_dict().items()}
    made: dict[torch.Size, Tensor] = {}
    for shape in shapes.values():
        if shape not in made:
            made[shape] = (torch.randn(shape) * 0.02).to(dtype)
    return {name: made[shape].clone() for name, shape in shapes.items()}


def write_audiocraft(folder: Path, config: LmConfig, weights: dict[str, Tensor]) -> None:
    """`state_dict.bin`."""
    names = {name: original_names(name, audiocraft_layout.RENAMES)[0] for name in weights}
    settings = {
        "lm_model": "transformer_lm", "sample_rate": 32000, "channels": 1,
        "transformer_lm": {
            "dim": config.dim, "num_heads": config.n_heads, "num_layers": config.n_layers,
            "hidden_scale": 4, "n_q": config.n_codebooks, "card": config.card,
        },
        "codebooks_pattern": {"modeling": "delay", "delay": {}},
        "conditioners": {
            "description": {"model": "t5", "t5": {"name": "t5-base"}},
            "self_wav": {"model": "chroma_stem", "chroma_stem": {"n_chroma": 12}},
        },
        "fuser": {"cross": [], "prepend": ["self_wav", "description"]},
    }  # fmt: skip
    tensors = {names[name]: weights.pop(name) for name in list(weights)}
    torch.save({"best_state": tensors, "xp.cfg": json.dumps(settings)}, folder / "state_dict.bin")


def write_transformers(folder: Path, config: LmConfig, weights: dict[str, Tensor]) -> None:
    """`config.json` and `model.safetensors`, queries, keys and values apart."""
    tensors: dict[str, Tensor] = {}
    for name in list(weights):
        theirs = original_names(name, transformers_layout.RENAMES)
        parts = weights.pop(name).chunk(len(theirs))
        tensors |= {new: part.clone() for new, part in zip(theirs, parts, strict=True)}
    text, codec = small_text_encoder(), small_codec()
    for prefix, model in (("text_encoder", text), ("audio_encoder", codec)):
        for name, tensor in model.state_dict().items():
            if "embed_tokens" not in name:
                tensors[f"{prefix}.{name}"] = tensor.contiguous()
    save_file(tensors, folder / "model.safetensors")
    settings = {
        "model_type": "musicgen_melody",
        "text_encoder": text.config.to_dict(),
        "audio_encoder": codec.config.to_dict(),
        "decoder": {
            "model_type": "musicgen_melody_decoder", "vocab_size": config.card,
            "hidden_size": config.dim, "ffn_dim": config.ffn_dim,
            "num_hidden_layers": config.n_layers, "num_attention_heads": config.n_heads,
            "num_codebooks": config.n_codebooks,
        },
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(settings))
    write_tokenizer(folder)


def write_own(folder: Path, config: LmConfig, weights: dict[str, Tensor]) -> None:
    """`fanfare.json` and `lm.safetensors`."""
    save_file(weights, folder / "lm.safetensors")
    card = {"format": 1, "name": "random", "licence": None, "lm": config.to_dict(), "extra": None}
    (folder / "fanfare.json").write_text(json.dumps(card))
    write_parts(folder)


WRITERS = {
    "audiocraft": write_audiocraft,
    "transformers": write_transformers,
    "own": write_own,
}


def small_codec() -> EncodecModel:
    """A codec of 2,048 codes at 50 frames a second, otherwise tiny."""
    return EncodecModel(
        EncodecConfig(
            sampling_rate=32000, num_filters=2, upsampling_ratios=[8, 5, 4, 4], hidden_size=8,
            codebook_size=2048, target_bandwidths=[2.2], use_causal_conv=False,
            use_conv_shortcut=False,
        )
    )  # fmt: skip


def small_text_encoder() -> T5EncoderModel:
    """A text encoder of t5-base's width, otherwise tiny."""
    return T5EncoderModel(
        T5Config(vocab_size=8, d_model=768, d_kv=8, d_ff=8, num_layers=1, num_heads=1)
    )


def write_tokenizer(folder: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 1}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))


def write_parts(folder: Path) -> None:
    """`text` and `codec` in a folder."""
    small_text_encoder().save_pretrained(folder / "text")
    write_tokenizer(folder / "text")
    small_codec().save_pretrained(folder / "codec")


def write(folder: Path, layout: str, dtype: str, n_layers: int) -> None:
    """A checkpoint in one layout, with parts for those that have none of their own."""
    folder.mkdir(parents=True)
    config = replace(PUBLISHED["melody"], n_layers=n_layers)
    WRITERS[layout](folder, config, random_weights(config, DTYPES[dtype]))


def memory_mb(key: str) -> float:
    """A line of this process's status."""
    status = Path("/proc/self/status").read_text()
    found = re.search(rf"^{key}:\s+(\d+) kB", status, re.MULTILINE)
    assert found, key
    return int(found[1]) / 1024


@contextmanager
def peak_of(key: str) -> Iterator[list[float]]:
    """The highest value of a line while this lasts, in the list."""
    peak, done = [memory_mb(key)], threading.Event()

    def watch() -> None:
        while not done.wait(0.002):
            peak[0] = max(peak[0], memory_mb(key))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()
        peak[0] = max(peak[0], memory_mb(key))


def measure(folder: Path, parts: Path, dtype: str) -> dict[str, float]:
    """Load a checkpoint in this process."""
    given = {} if (folder / "config.json").is_file() or (folder / "fanfare.json").is_file() else {
        "text_encoder": parts / "text", "codec": parts / "codec",
    }  # fmt: skip
    load_bundle(parts / "warm")  # what libraries set up at first use isn't the checkpoint's
    Path("/proc/self/clear_refs").write_text("5")  # start VmHWM anew
    anonymous, resident = memory_mb("RssAnon"), memory_mb("VmRSS")
    started = time.perf_counter()
    with peak_of("RssAnon") as peak:
        bundle = load_bundle(folder, dtype=DTYPES[dtype], **given)
    seconds = time.perf_counter() - started
    resident = memory_mb("VmHWM") - resident
    assert bundle.text is not None
    modules = (bundle.lm, bundle.codec, bundle.text.model)
    tensors = {id(t): t for module in modules for t in module.state_dict().values()}
    n_bytes = sum(tensor.nbytes for tensor in tensors.values())
    assert all(bool(tensor.isfinite().all()) for tensor in tensors.values())
    return {
        "weights (MB)": n_bytes / MB,
        "seconds": seconds,
        "anonymous (MB)": peak[0] - anonymous,
        "resident (MB)": resident,
        "ratio": max(peak[0] - anonymous, resident) / n_bytes * MB,
    }


def run(*arguments: str) -> str:
    """This file in a process of its own: its last line."""
    command = [sys.executable, __file__, *arguments]
    made = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return made.stdout.rstrip().rpartition("\n")[2]


def main() -> None:
    """Write, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, help="for the files; needs 6 GB")
    parser.add_argument("--layers", type=int, default=48, help="fewer for a trial")
    parser.add_argument("--layouts", nargs="*", choices=list(WRITERS), default=list(WRITERS))
    parser.add_argument("--write", nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.write:
        folder, layout, dtype = given.write
        write(Path(folder), layout, dtype, given.layers)
        return
    if given.measure:
        folder, parts, dtype = given.measure
        print(json.dumps(measure(Path(folder), Path(parts), dtype)))
        return
    root = Path(tempfile.mkdtemp(prefix="fanfare-load-", dir=given.folder))
    try:
        result = measure_all(root, given.layouts, given.layers)
    finally:
        shutil.rmtree(root)
    print(json.dumps({"layers": given.layers, "torch": torch.__version__, "cases": result}))


def measure_all(root: Path, layouts: list[str], n_layers: int) -> dict[str, dict[str, float]]:
    """All cases, each file written once."""
    write(root / "warm", "own", "float32", 1)
    write_parts(root)
    results: dict[str, dict[str, float]] = {}
    for layout in layouts:
        for on_disk, wanted in CASES.items():
            folder = root / "checkpoint"
            run("--write", str(folder), layout, on_disk, "--layers", str(n_layers))
            for dtype in wanted:
                case = json.loads(run("--measure", str(folder), str(root), dtype))
                if not results:
                    print(
                        f"{'layout, on disk → in memory':<36}" + "".join(f"{k:>16}" for k in case)
                    )
                results[f"{layout}, {on_disk} → {dtype}"] = case
                numbers = "".join(f"{value:>16.2f}" for value in case.values())
                print(f"{layout + ', ' + on_disk + ' → ' + dtype:<36}{numbers}", flush=True)
            shutil.rmtree(folder)
    return results


if __name__ == "__main__":
    main()
