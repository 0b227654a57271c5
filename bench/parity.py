"""Do we compute what audiocraft and transformers computed? Every case, through the public door.

    python bench/parity.py [--folder tests/golden] [--engine torch]

The folder holds checkpoints of tiny random weights beside what the published packages made of them
(`expected.npz`), a stand-in for t5-base and one for the codec. Greedy and sampled codes are to be
identical; the rest is a largest absolute difference.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import torch

os.environ["FANFARE_MELODY_SEPARATION"] = "off"  # the expected codes were made without

import fanfare
from fanfare.audio.loudness import loudness_lufs, normalize
from fanfare.nn.melody import chroma

BATTLE, PIANO = "epic orchestral battle music with taiko drums", "calm piano"
Row = tuple[str, str, str]
KINDS = ("text", "melody", "stereo")


def checkpoints(folder: Path) -> Iterator[tuple[str, str, Path]]:
    """Layout, kind and path of every checkpoint there."""
    for kind in KINDS:
        place = folder / f"audiocraft-{kind}"
        if (place / "state_dict.bin").is_file():
            yield "audiocraft", kind, place
        if (folder / f"transformers-{kind}").is_dir():
            yield "transformers", kind, folder / f"transformers-{kind}"
    for file in (*folder.glob("cog_trained_model.tar"), *folder.glob("*/cog_trained_model.tar")):
        yield "Cog fine-tune", "melody", file


def compared(got: np.ndarray, wanted: np.ndarray) -> str:
    """ "identical" or the share of equal codes."""
    if got.shape != wanted.shape:
        return f"shape {got.shape} instead of {wanted.shape}"
    same = float((got == wanted).mean())
    return "identical" if same == 1 else f"{100 * same:.2f} % equal"


def worst(got: np.ndarray, wanted: np.ndarray) -> str:
    """The largest absolute difference."""
    return f"{float(np.abs(got - wanted).max()):.1e}"


def language_model(
    folder: Path, layout: str, kind: str, path: Path, tune: Path, engine: str
) -> Iterator[Row]:
    """All cases of one checkpoint."""
    expected = np.load(folder / f"audiocraft-{kind}" / "expected.npz")
    parts = {}
    if layout != "transformers":
        parts = {"text_encoder": folder / "t5-base", "codec": folder / "encodec_32khz"}
    model = fanfare.load(path, device="cpu", dtype="float32", engine=engine, **parts)
    name = f"{layout}, {kind}"
    lm = fanfare.load(path, device="cpu", dtype="float32", engine="torch", **parts).bundle
    conditions, _ = lm.conditions(BATTLE)
    given = {
        "cross": None if conditions.cross is None else conditions.cross[None],
        "prefix": None if conditions.prefix is None else conditions.prefix[None],
    }
    tokens = torch.from_numpy(expected["logits_sequence"].astype(np.int64))[None]
    with torch.inference_mode():
        yield name, "logits", worst(lm.lm(tokens, **given)[0].numpy(), expected["logits"])
    greedy = {"prompt": BATTLE, "duration": 2, "temperature": 0.0}
    one_second = {"input_audio": str(tune), "continuation": True, "continuation_end": 1}
    runs = {
        "text_greedy_codes": greedy,
        "text_sampled_seed7_topk20_t09_codes": {
            "prompt": BATTLE, "duration": 2, "seed": 7, "top_k": 20, "temperature": 0.9
        },
        "text_sampled_seed11_topp08_cfg2_codes": {
            "prompt": PIANO, "duration": 2, "seed": 11, "top_k": 0, "top_p": 0.8,
            "classifier_free_guidance": 2,
        },
        "continuation_1s_total2s_greedy_codes": {**greedy, "duration": 1, **one_second},
        "melody_noseparation_greedy_codes": {**greedy, "input_audio": str(tune)},
        "long_33s_stride18_greedy_codes": {**greedy, "duration": 33},
    }  # fmt: skip
    for key, fields in runs.items():
        if key in expected:
            audio = model.generate(**fields)
            yield name, key.removesuffix("_codes"), compared(audio.codes, expected[key])


def other_parts(folder: Path) -> Iterator[Row]:
    """Codec, diffusion, chroma, levels."""
    from fanfare.weights.codec import load_codec_folder

    codec = load_codec_folder(folder / "encodec_32khz", device="cpu", channels=1, n_codebooks=4)
    arrays = np.load(folder / "codec_expected.npz")
    wav = torch.from_numpy(arrays["codec_input"]).reshape(1, 1, -1)
    codes = codec.encode(wav)
    wanted = arrays["codec_codes"].reshape(codes.shape)
    yield "codec", "codes", compared(codes.numpy(), wanted)
    again = codec.decode(torch.from_numpy(wanted.astype(np.int64))).numpy()
    decoded = arrays["codec_wav"].reshape(1, 1, -1)
    yield "codec", "wav", worst(again[..., : decoded.shape[-1]], decoded)
    melody = folder / "audiocraft-melody" / "expected.npz"
    tune = _tune(folder)
    heard = chroma(torch.from_numpy(tune)[None], 32000).numpy()
    expected = np.load(melody)
    if "melody_chroma" in expected:
        wanted = expected["melody_chroma"].reshape(-1, 12)
        yield "melody", "chroma", compared(heard[: len(wanted)], wanted[: len(heard)])
    yield from _levels(folder)
    yield from _diffusion(folder)


def _levels(folder: Path) -> Iterator[Row]:
    """Peak, rms and clip by sample; loudness by what a meter says of both."""
    file = folder / "normalize_expected.npz"
    if not file.is_file():  # the tests keep gains instead of signals
        return
    arrays = np.load(file)
    for strategy in ("peak", "rms", "clip"):
        differences = [
            float(np.abs(normalize(arrays[f"{name}/input"], 32000, strategy) - wanted).max())
            for name, wanted in _wanted(arrays, strategy)
        ]
        yield "normalisation", strategy, f"{max(differences):.1e} ({len(differences)} signals)"
    for name, wanted in _wanted(arrays, "loudness"):
        made = normalize(arrays[f"{name}/input"], 32000, "loudness")
        if np.array_equal(made, wanted):  # too quiet to have a loudness
            yield "normalisation", f"loudness, {name}", "identical"
            continue
        difference = loudness_lufs(made, 32000) - loudness_lufs(wanted, 32000)
        yield "normalisation", f"loudness, {name}", f"{difference:+.2f} LU"


def _wanted(arrays: np.lib.npyio.NpzFile, strategy: str) -> Iterator[tuple[str, np.ndarray]]:
    for key in arrays.files:
        name, _, what = key.partition("/")
        if what == strategy and f"{name}/input" in arrays.files:
            yield name, arrays[key]


def _diffusion(folder: Path) -> Iterator[Row]:
    from fanfare.weights.codec import load_codec_folder
    from fanfare.weights.diffusion import load_diffusion

    place = folder / "diffusion" if (folder / "diffusion").is_dir() else folder
    arrays = np.load(next(place.glob("*expected.npz" if place != folder else "mbd_expected.npz")))
    diffusion = load_diffusion(place / "mbd_musicgen_32khz.th", device="cpu")
    codec = load_codec_folder(folder / "encodec_32khz", device="cpu", channels=1, n_codebooks=4)
    codes = torch.from_numpy(arrays["codes"].astype(np.int64)).reshape(1, 4, -1)
    generator = torch.Generator().manual_seed(3)
    made = diffusion.decode(codec.latent(codes), codec.decode(codes)[0], generator)
    yield "Multi-Band Diffusion", "wav", worst(made.numpy().ravel(), arrays["wav_seed3"].ravel())


def _tune(folder: Path) -> np.ndarray:
    """Four seconds of melody, [N]."""
    if (folder / "melody.wav").is_file():
        wav, _ = soundfile.read(folder / "melody.wav", dtype="float32")
        return np.asarray(wav, np.float32)
    return np.load(folder / "melody.npz")["wav"].astype(np.float32)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, default=Path("tests/golden"))
    parser.add_argument("--engine", default="torch")
    options = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        tune = Path(scratch) / "melody.wav"
        soundfile.write(tune, _tune(options.folder), 32000, subtype="FLOAT")
        for layout, kind, path in checkpoints(options.folder):
            rows += language_model(options.folder, layout, kind, path, tune, options.engine)
        rows += other_parts(options.folder)
    print("| what | case | equal? / largest difference |\n|---|---|---|")
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(json.dumps({f"{what}: {case}": result for what, case, result in rows}))


if __name__ == "__main__":
    main()
