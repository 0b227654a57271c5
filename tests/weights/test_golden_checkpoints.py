"""What audiocraft computed from its checkpoints, we compute from the same files.

The language models are in `golden/` as audiocraft keeps them; the same weights are also put in
transformers' layout here, by the published correspondence of names, and must give the same.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fanfare.engine.job import Job, Result
from fanfare.engine.torch_engine import generate
from fanfare.nn.codec import Codec
from fanfare.nn.melody import chroma
from fanfare.nn.sampling import SamplingSettings
from fanfare.weights.bundle import Bundle
from fanfare.weights.load import load_bundle
from fanfare.weights.unpickle import read_pickle
from layouts import transformers_name

GOLDEN = Path(__file__).parent.parent / "golden"
BATTLE = "epic orchestral battle music with taiko drums"
GREEDY = SamplingSettings(temperature=0)


def load_arrays(file: Path) -> dict[str, np.ndarray]:
    """All arrays of a file, which is closed again."""
    with np.load(file) as arrays:
        return dict(arrays)


def as_transformers(tensors: dict[str, Tensor], kind: str, folder: Path) -> Path:
    """Write a checkpoint folder as transformers would."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        new = transformers_name(name)
        if new.endswith("in_proj_weight"):
            for part, rows in zip("qkv", tensor.float().chunk(3), strict=True):
                renamed[new.replace("in_proj", f"{part}_proj").replace("_weight", ".weight")] = rows
        elif "spec.window" not in new:
            renamed[new] = tensor.float()
    for prefix, part in (("text_encoder", "t5-base"), ("audio_encoder", "encodec_32khz")):
        for name, tensor in load_file(GOLDEN / part / "model.safetensors").items():
            renamed[f"{prefix}.{name}"] = tensor
    folder.mkdir()
    save_file({name: t.contiguous() for name, t in renamed.items()}, folder / "model.safetensors")
    shutil.copyfile(GOLDEN / "t5-base" / "tokenizer.json", folder / "tokenizer.json")
    channels = 2 if kind == "stereo" else 1
    model_type = "musicgen_melody" if kind == "melody" else "musicgen"
    config = {
        "model_type": model_type,
        "text_encoder": json.loads((GOLDEN / "t5-base" / "config.json").read_text()),
        "audio_encoder": json.loads((GOLDEN / "encodec_32khz" / "config.json").read_text()),
        "decoder": {
            "model_type": f"{model_type}_decoder", "vocab_size": 64, "hidden_size": 64,
            "ffn_dim": 256, "num_hidden_layers": 3, "num_attention_heads": 4,
            "num_codebooks": 4 * channels, "audio_channels": channels,
        },
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return folder


class Case:
    """One checkpoint in one layout, with what audiocraft made of it."""

    def __init__(self, kind: str, layout: str, folder: Path) -> None:
        self.expected = load_arrays(GOLDEN / f"audiocraft-{kind}" / "expected.npz")
        path = GOLDEN / f"audiocraft-{kind}"
        if kind == "melody":
            path /= "cog_trained_model.tar"
        if layout == "transformers":
            file = path if path.is_file() else path / "state_dict.bin"
            values = read_pickle(file)
            tensors = values.get("best_state") or values["model"]
            self.bundle = load_bundle(as_transformers(tensors, kind, folder / kind))
        else:
            self.bundle = load_bundle(
                path, text_encoder=GOLDEN / "t5-base", codec=GOLDEN / "encodec_32khz"
            )

    def codes(
        self,
        settings: SamplingSettings,
        *,
        text: str = BATTLE,
        seed: int = 0,
        prompt: Tensor | None = None,
        melody: Tensor | None = None,
        n_frames: int = 100,
    ) -> Tensor:
        """Codes [K, T], of two seconds unless told."""
        conditions, null = self.bundle.conditions(text, melody)
        job = Job(n_frames, conditions, null, settings, seed, prompt)
        *_, result = generate(self.bundle.lm, [job])
        assert isinstance(result, Result)
        assert result.codes[0] is not None
        return result.codes[0]

    def check(self, name: str, codes: Tensor) -> None:
        """Compare codes with the expected ones of this name."""
        assert torch.equal(codes, torch.from_numpy(self.expected[name].astype(np.int64)))


@pytest.fixture(scope="module", params=["audiocraft", "transformers"])
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module", params=["text", "stereo", "melody"])
def case(
    request: pytest.FixtureRequest, layout: str, tmp_path_factory: pytest.TempPathFactory
) -> Case:
    return Case(request.param, layout, tmp_path_factory.mktemp(layout))


@pytest.fixture(scope="module")
def melody_wav() -> Tensor:
    return torch.from_numpy(load_arrays(GOLDEN / "melody.npz")["wav"])[None]  # [1, N]


def test_text_and_logits(case: Case) -> None:
    conditions, _ = case.bundle.conditions(BATTLE)
    cross, prefix = conditions.cross, conditions.prefix
    text = cross if prefix is None else prefix[235:]
    expected = torch.from_numpy(case.expected["text_condition"])
    torch.testing.assert_close(text, expected, atol=1e-5, rtol=0)
    tokens = torch.from_numpy(case.expected["logits_sequence"].astype(np.int64))[None]
    logits = case.bundle.lm(
        tokens,
        cross=None if cross is None else cross[None],
        prefix=None if prefix is None else prefix[None],
    )
    torch.testing.assert_close(
        logits[0], torch.from_numpy(case.expected["logits"]), atol=1e-4, rtol=0
    )


def test_greedy(case: Case) -> None:
    codes = case.codes(GREEDY)
    case.check("text_greedy_codes", codes)
    if "text_greedy_wav" in case.expected:
        wav = case.bundle.codec.decode(codes[None])[0, :, :16000]
        expected = torch.from_numpy(case.expected["text_greedy_wav"])
        torch.testing.assert_close(wav, expected, atol=1e-5, rtol=0)


def test_sampled(case: Case) -> None:
    settings = SamplingSettings(top_k=20, temperature=0.9)
    case.check("text_sampled_seed7_topk20_t09_codes", case.codes(settings, seed=7))
    settings = SamplingSettings(top_k=0, top_p=0.8, guidance=2.0)
    codes = case.codes(settings, seed=11, text="calm piano")
    case.check("text_sampled_seed11_topp08_cfg2_codes", codes)


def test_continuation(case: Case, melody_wav: Tensor) -> None:
    wav = melody_wav[:, :32000].expand(case.bundle.config.channels, -1)
    prompt = case.bundle.codec.encode(wav[None])[0]
    case.check("continuation_1s_total2s_greedy_codes", case.codes(GREEDY, prompt=prompt))


@pytest.mark.parametrize("layout", ["audiocraft"], indirect=True)
@pytest.mark.parametrize("case", ["text"], indirect=True)
def test_windows(case: Case) -> None:
    codes = case.codes(GREEDY, n_frames=33 * 50)
    case.check("long_33s_stride18_greedy_codes", codes)


@pytest.mark.parametrize("case", ["melody"], indirect=True)
def test_melody(case: Case, melody_wav: Tensor) -> None:
    codes = case.codes(GREEDY, melody=melody_wav)
    case.check("melody_noseparation_greedy_codes", codes)
    assert chroma(melody_wav, 32000).shape == (32, 12)


def test_batches_of_different_texts_equal_single_ones(case: Case) -> None:
    jobs = []
    for seed, text in enumerate([BATTLE, "calm piano", None]):
        conditions, null = case.bundle.conditions(text)
        jobs.append(Job(40, conditions, null, SamplingSettings(top_k=20), seed))
    *_, together = generate(case.bundle.lm, jobs)
    assert isinstance(together, Result)
    for job, codes in zip(jobs, together.codes, strict=True):
        *_, alone = generate(case.bundle.lm, [job])
        assert isinstance(alone, Result)
        assert codes is not None
        assert alone.codes[0] is not None
        assert torch.equal(codes, alone.codes[0])


def test_codec() -> None:
    expected = load_arrays(GOLDEN / "codec_expected.npz")
    bundle: Bundle = Case("text", "audiocraft", GOLDEN).bundle
    codec: Codec = bundle.codec
    codes = codec.encode(torch.from_numpy(expected["codec_input"])[None, None])
    assert torch.equal(codes[0], torch.from_numpy(expected["codec_codes"].astype(np.int64)))
    for ours, name in (
        (codec.latent(codes)[0], "codec_latent"),
        (codec.decode(codes)[0, 0], "codec_wav"),
    ):
        torch.testing.assert_close(ours, torch.from_numpy(expected[name]), atol=1e-5, rtol=0)


def codec_as_audiocraft(folder: Path, config: dict[str, Any]) -> None:
    """Write the golden codec as a whole `compression_state_dict.bin`."""
    tensors: dict[str, Tensor] = {}
    for name, tensor in load_file(GOLDEN / "encodec_32khz" / "model.safetensors").items():
        side, _, rest = name.partition(".layers.")
        if side == "quantizer":
            new = f"quantizer.vq.layers.{rest.replace('codebook', '_codebook')}"
        else:
            rest = rest.replace("parametrizations.weight.original0", "weight_g")
            rest = rest.replace("parametrizations.weight.original1", "weight_v")
            index = int(rest.split(".")[0])
            is_transposed = side == "decoder" and index in (3, 6, 9, 12) and "block" not in rest
            kind = "convtr.convtr." if is_transposed else "conv.conv."
            new = f"{side}.model.{rest.replace('conv.', kind, 1)}"
        tensors[new] = tensor
    torch.save(
        {"best_state": tensors, "xp.cfg": json.dumps(config)},
        folder / "compression_state_dict.bin",
    )


CODEC_CONFIG: dict[str, Any] = {
    "sample_rate": 32000, "channels": 1,
    "encodec": {
        "autoencoder": "seanet", "quantizer": "rvq", "sample_rate": "${sample_rate}",
        "channels": "${channels}", "causal": False, "renormalize": False,
    },
    "seanet": {
        "dimension": 16, "channels": "${channels}", "causal": "${encodec.causal}", "n_filters": 4,
        "n_residual_layers": 1, "ratios": [8, 5, 4, 4], "activation": "ELU", "norm": "weight_norm",
        "kernel_size": 7, "residual_kernel_size": 3, "last_kernel_size": 7, "dilation_base": 2,
        "pad_mode": "constant", "true_skip": True, "compress": 2, "lstm": 2,
        "decoder": {"trim_right_ratio": 1.0, "final_activation": None},
    },
    "rvq": {"n_q": 4, "bins": 64},
}  # fmt: skip


def test_a_codec_in_audiocrafts_layout(tmp_path: Path) -> None:
    shutil.copyfile(GOLDEN / "audiocraft-text" / "state_dict.bin", tmp_path / "state_dict.bin")
    codec_as_audiocraft(tmp_path, CODEC_CONFIG)
    ours = load_bundle(tmp_path, text_encoder=GOLDEN / "t5-base").codec
    hub = Case("text", "audiocraft", tmp_path).bundle.codec
    assert ours.model.config.pad_mode == "constant"  # read, not taken for granted
    assert ours.n_codebooks == 4
    for name, tensor in hub.state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor), name
