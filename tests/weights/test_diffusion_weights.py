"""Diffusion weights: the published file gives what it gave its authors; wrong ones are refused."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fake_hub import fake_hub
from fanfare.errors import CheckpointError
from fanfare.nn.bands import lowpass_filters
from fanfare.nn.codec import Codec
from fanfare.nn.diffusion import MultiBandDiffusion
from fanfare.weights.codec import load_codec_folder
from fanfare.weights.diffusion import check_fit, load_diffusion, save_diffusion
from fanfare.weights.load import load_bundle
from fanfare.weights.unpickle import read_config, read_pickle

GOLDEN = Path(__file__).parent.parent / "golden"
PUBLISHED = GOLDEN / "diffusion" / "mbd_musicgen_32khz.th"

CONFIG: dict[str, Any] = {
    "channels": 1,
    "schedule": {"beta_t0": 1e-5, "beta_t1": 0.029, "beta_exp": 7.5, "num_steps": 1000,
                 "variance": "beta", "clip": 5.0, "rescale": 1.0, "n_bands": None,
                 "noise_scale": 1.0, "repartition": "power", "variable_step_batch": True},
    "diffusion_unet": {"hidden": 8, "depth": 3, "growth": 2, "max_channels": 10000, "kernel": 8,
                       "stride": 4, "res_blocks": 1, "norm_groups": 4, "dropout": 0.0,
                       "emb_all_layers": True, "codec_dim": 6, "bilstm": False,
                       "transformer": False, "cross_attention": False},
    "processor": {"use": False, "name": "multi_band_processor", "n_bands": 8,
                  "num_samples": 10000, "power_std": 0.4},
}  # fmt: skip
NETWORKS: dict[str, dict[str, Any]] = {
    "nothing": {"emb_all_layers": False, "hidden": 6, "growth": 1.5, "max_channels": 10,
                "res_blocks": 2, "norm_groups": 1},
    "bilstm": {"bilstm": True, "kernel": 4, "stride": 2, "depth": 4, "res_blocks": 3},
    "transformer": {"transformer": True, "kernel": 6},
    "cross_attention": {"transformer": True, "cross_attention": True, "depth": 2,
                        "norm_groups": 8},
}  # fmt: skip


def load_arrays(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "diffusion" / name) as arrays:
        return dict(arrays)


def published(kind: str) -> dict[str, Any]:
    """One band in the published layout, with drawn weights."""
    shapes = json.loads(str(load_arrays("networks.npz")[f"{kind}/shapes"]))
    draw = np.random.RandomState(7)
    state = {
        name: torch.from_numpy((0.3 * draw.standard_normal(shapes[name])).astype(np.float32))
        for name in sorted(shapes)
    }
    config = copy.deepcopy(CONFIG)
    config["diffusion_unet"].update(NETWORKS[kind])
    entry = {"cfg": config, "model_state": state, "processor_state": {}}
    return {"sample_rate": 32000, "n_bands": 1, 0: entry}


def saved(values: dict[Any, Any], folder: Path) -> Path:
    file = folder / "mbd.th"
    torch.save(values, file)
    return file


@pytest.fixture(scope="module")
def mbd() -> MultiBandDiffusion:
    return load_diffusion(PUBLISHED, device="cpu")


@pytest.fixture(scope="module")
def codec() -> Codec:
    return load_codec_folder(GOLDEN / "encodec_32khz", channels=1, n_codebooks=4, device="cpu")


def decoded(mbd: MultiBandDiffusion, codec: Codec, codes: torch.Tensor) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return mbd.decode(codec.latent(codes), codec.decode(codes)[0], generator)


def test_sound_is_the_published_code_s(mbd: MultiBandDiffusion, codec: Codec) -> None:
    expected = load_arrays("expected.npz")
    wav = decoded(mbd, codec, torch.from_numpy(expected["codes"])[None])
    np.testing.assert_allclose(wav.numpy(), expected["wav_seed3"], atol=2e-5, rtol=0)


def test_our_filters_are_those_in_the_file(mbd: MultiBandDiffusion) -> None:
    for band in mbd.bands:
        filters = band.processor.filters[:, 0]
        torch.testing.assert_close(lowpass_filters(8, 32000), filters, atol=1e-6, rtol=0)


@pytest.mark.parametrize("chunk", [2**22, 500])
@pytest.mark.parametrize("kind", NETWORKS)
def test_every_kind_of_network(kind: str, chunk: int, tmp_path: Path) -> None:
    loaded = load_diffusion(saved(published(kind), tmp_path), device="cpu")
    arrays = {name: torch.from_numpy(array) for name, array in load_arrays("networks.npz").items()
              if array.dtype == np.float32}  # fmt: skip
    estimate = loaded.bands[0].unet(arrays["x"], 449, arrays["latent"], chunk)
    torch.testing.assert_close(estimate, arrays[kind], atol=2e-5, rtol=1e-4)


def test_our_layout_survives_the_round_trip(
    mbd: MultiBandDiffusion, codec: Codec, tmp_path: Path
) -> None:
    save_diffusion(tmp_path / "own", mbd)
    again = load_diffusion(tmp_path / "own", device="cpu")
    assert again.config == mbd.config
    codes = torch.randint(64, (1, 4, 3))
    assert torch.equal(decoded(again, codec, codes), decoded(mbd, codec, codes))


def test_a_folder_with_the_published_file(mbd: MultiBandDiffusion, tmp_path: Path) -> None:
    shutil.copyfile(PUBLISHED, tmp_path / PUBLISHED.name)
    assert load_diffusion(tmp_path, device="cpu").config == mbd.config


def test_the_configuration_is_read_not_guessed(mbd: MultiBandDiffusion) -> None:
    values = read_pickle(PUBLISHED)
    for i, band in enumerate(mbd.config.bands):
        config = read_config(values[i]["cfg"], "band")
        assert band.unet.norm_groups == config["diffusion_unet"]["norm_groups"] == 4
        assert band.unet.stride == config["diffusion_unet"]["stride"] == 4
        assert (band.unet.bottleneck == "bilstm") == config["diffusion_unet"]["bilstm"]
        assert band.processor is not None
        assert band.processor.power_std == config["processor"]["power_std"] == 0.4
    assert mbd.config.sample_rate_hz == 32000
    assert mbd.config.latent_dim == 16


def change(section: str, key: str, value: object) -> Callable[[dict[Any, Any]], None]:
    def apply(values: dict[Any, Any]) -> None:
        values[0]["cfg"][section][key] = value

    return apply


def drop(*keys: Any) -> Callable[[dict[Any, Any]], None]:
    def apply(values: dict[Any, Any]) -> None:
        *path, last = keys
        for key in path:
            values = values[key]
        del values[last]

    return apply


def put(value: object, *keys: Any) -> Callable[[dict[Any, Any]], None]:
    def apply(values: dict[Any, Any]) -> None:
        *path, last = keys
        for key in path:
            values = values[key]
        values[last] = value

    return apply


@pytest.mark.parametrize(("damage", "complaint"), [
    (change("diffusion_unet", "activation", "GELU"), r"diffusion_unet\.activation isn't known"),
    (change("diffusion_unet", "codec_dim", None), "it would take no latent"),
    (change("diffusion_unet", "codec_dim", 7), r"conv_codec\.weight is"),
    (change("diffusion_unet", "norm_groups", 3), "norm_groups must divide"),
    (change("diffusion_unet", "stride", 3), "even number"),
    (change("diffusion_unet", "growth", "much"), r"diffusion_unet\.growth = 'much' must be a num"),
    (change("diffusion_unet", "depth", 2.5), r"depth = 2\.5 must be a whole number"),
    (change("diffusion_unet", "depth", 10**9), "depth = 1000000000 must be a whole number from 1"),
    (change("diffusion_unet", "depth", 4), r"Missing: decoders\.3"),
    (change("diffusion_unet", "res_blocks", 3), r"Missing: .*res_blocks\.2"),
    (change("diffusion_unet", "emb_all_layers", True), r"Missing: embeddings\.0"),
    (change("diffusion_unet", "bilstm", True), r"Missing: bilstm\.linear"),
    (change("diffusion_unet", "bilstm", "yes"), r"bilstm = 'yes' must be true or false"),
    (change("schedule", "repartition", "cosine"), r"schedule\.repartition = 'cosine' isn't"),
    (change("schedule", "num_steps", 50), r"schedule\.num_steps = 50 isn't supported"),
    (change("schedule", "n_bands", 2), r"schedule\.n_bands = 2 isn't supported"),
    (change("schedule", "beta_t1", 2.0), r"schedule\.beta_t1 = 2\.0 must be a number"),
    (change("schedule", "beta_t0", 0.5), "betas must rise"),
    (change("schedule", "clip", True), r"schedule\.clip = True must be a number"),
    (change("schedule", "temperature", 2.0), r"schedule\.temperature isn't known"),
    (change("processor", "use", True), r"processor_state doesn't hold .* Missing: counts"),
    (put({"use": True, "name": "other"}, 0, "cfg", "processor"), r"processor\.name = 'other'"),
    (put({"use": True, "n_bands": 999}, 0, "cfg", "processor"), "n_bands is 2 to"),
    (put({"use": True, "power_std": [1.0, 2.0]}, 0, "cfg", "processor"), "one value or 8"),
    (put({"use": True, "power_std": ["x"] * 8}, 0, "cfg", "processor"), r"power_std\.0 = 'x'"),
    (put(2, 0, "cfg", "channels"), "channels = 2 isn't supported"),
    (put(2, "n_bands"), "band 1: it is None, not a configuration"),
    (put("four", "n_bands"), "n_bands = 'four' must be a whole number from 1 to 64"),
    (put(0, "n_bands"), "n_bands = 0 must be"),
    (put("", 0, "cfg"), "no configuration"),
    (put([], 0), r"band 0: it is \[\], not a configuration"),
    (put(None, 0, "model_state"), "NoneType where tensors belong"),
    (put("x", 0, "model_state", "embedding.weight"), r"embedding\.weight is no tensor"),
    (put(torch.zeros(3), 0, "model_state", "extra"), "Unknown: extra"),
    (put(torch.zeros(3), 0, "model_state", "embedding.weight"), r"embedding\.weight is \(3,\)"),
    (drop("sample_rate"), "sample_rate is missing"),
    (drop(0, "cfg", "schedule"), "schedule is missing"),
    (drop(0, "model_state", "embedding.weight"), r"Missing: embedding\.weight"),
])  # fmt: skip
def test_wrong_weights_are_refused(
    damage: Callable[[dict[Any, Any]], None], complaint: str, tmp_path: Path
) -> None:
    values = published("nothing")
    damage(values)
    with pytest.raises(CheckpointError, match=complaint) as caught:
        load_diffusion(saved(values, tmp_path), device="cpu")
    assert "mbd.th" in str(caught.value)


def test_levels_that_are_no_numbers(tmp_path: Path) -> None:
    values = read_pickle(PUBLISHED)
    values[2]["processor_state"]["counts"] = torch.zeros(1)
    for i in range(4):
        values[i]["cfg"] = read_config(values[i]["cfg"], "band")
    with pytest.raises(CheckpointError, match=r"bands\.2\.processor holds levels"):
        load_diffusion(saved(values, tmp_path), device="cpu")


@pytest.mark.parametrize("length", [0, 10, 1000, 1_500_000])
def test_a_cut_off_file(length: int, tmp_path: Path) -> None:
    file = tmp_path / "mbd.th"
    file.write_bytes(PUBLISHED.read_bytes()[:length])
    with pytest.raises(CheckpointError, match=r"mbd\.th"):
        load_diffusion(file, device="cpu")


def test_our_layout_when_damaged(mbd: MultiBandDiffusion, tmp_path: Path) -> None:
    save_diffusion(tmp_path, mbd)
    card = tmp_path / "diffusion.json"
    good = json.loads(card.read_text())
    for values, complaint in (
        ({**good, "format": 2}, "format 2 isn't known"),
        ({"format": 1}, "diffusion"),
        ({"format": 1, "diffusion": {}}, "keys bands, sample_rate_hz"),
        ({"format": 1, "diffusion": {**good["diffusion"], "bands": 3}}, "not iterable"),
    ):
        card.write_text(json.dumps(values))
        with pytest.raises(CheckpointError, match=complaint):
            load_diffusion(tmp_path, device="cpu")
    card.write_text(json.dumps(good))
    tensors = tmp_path / "diffusion.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match=r"diffusion\.safetensors: damaged"):
        load_diffusion(tmp_path, device="cpu")
    tensors.unlink()
    with pytest.raises(CheckpointError, match=r"diffusion\.safetensors is missing"):
        load_diffusion(tmp_path, device="cpu")


def test_a_folder_without_diffusion(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no diffusion weights; expected"):
        load_diffusion(tmp_path, device="cpu")


def test_weights_for_another_codec(mbd: MultiBandDiffusion, codec: Codec, tmp_path: Path) -> None:
    check_fit(mbd, codec, "here")
    values = published("nothing")
    with pytest.raises(
        CheckpointError, match=r"here: .* latent width of 6, but this model's has 16"
    ):
        check_fit(load_diffusion(saved(values, tmp_path), device="cpu"), codec, "here")
    values["sample_rate"] = 24000
    file = saved(values, tmp_path)
    with pytest.raises(CheckpointError, match="sample rate of 24000, but this model's has 32000"):
        check_fit(load_diffusion(file, device="cpu"), codec, "here")
    band = mbd.config.bands[0]
    coarse = replace(band, unet=replace(band.unet, stride=8, depth=4))
    with torch.device("meta"):
        skipping = MultiBandDiffusion(replace(mbd.config, bands=(coarse,)))
    with pytest.raises(CheckpointError, match="sees 4096 samples as one would skip"):
        check_fit(skipping, codec, "here")


def test_the_published_weights_by_their_short_name(
    mbd: MultiBandDiffusion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = GOLDEN / "audiocraft-stereo"
    parts = {"codec": GOLDEN / "encodec_32khz", "text_encoder": GOLDEN / "t5-base"}
    with fake_hub(tmp_path, monkeypatch) as hub:
        files = {PUBLISHED.name: PUBLISHED.read_bytes(), "mbd_comp_8.pt": b"for other codecs"}
        hub.publish("facebook/multiband-diffusion", files)
        bundle = load_bundle(model, diffusion="mbd", **parts)
        assert bundle.diffusion is not None
        assert bundle.diffusion.config == mbd.config
        assert hub.fetched() == [PUBLISHED.name]
        assert load_bundle(model, diffusion="mbd", **parts).diffusion is not None
        assert hub.asked() == [], "what the cache holds needs no network"
    assert load_bundle(model, **parts).diffusion is None
