"""Models of the hub: one layout of several, once, and without a network where the cache has it."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from fake_hub import COMMITS, Hub, fake_hub
from fanfare.errors import CheckpointError
from fanfare.weights.hub import HubModel, find_on_hub, hub_id_of, layouts, licence_of

MODEL = HubModel("owner/model")
FILES = {
    "config.json": b"{}",
    "tokenizer.json": b'{"version": "1"}',
    "model.safetensors": b"s" * 1000,
    "pytorch_model.bin": b"p" * 1000,
    "state_dict.bin": b"a" * 1000,
    "compression_state_dict.bin": b"c",
    "tf_model.h5": b"t",
    "README.md": b"---\nlicense: mit\ntags: [music]\n---\n# A model\n",
}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with one repository, and an empty cache."""
    with fake_hub(tmp_path / "cache", monkeypatch) as hub:
        hub.publish("owner/model", FILES)
        yield hub


def shards(stem: str, ending: str) -> dict[str, bytes]:
    names = [f"{stem}-0000{i}-of-00002.{ending}" for i in (1, 2)]
    index = json.dumps({"weight_map": {"a": names[0], "b": names[1]}}).encode()
    return {f"{stem}.{ending}.index.json": index, names[0]: b"one", names[1]: b"two"}


def only(*names: str) -> dict[str, bytes]:
    return {name: FILES[name] for name in names}


@pytest.mark.parametrize(
    ("files", "chosen"),
    [
        (FILES, ["config.json", "tokenizer.json", "model.safetensors", "README.md"]),
        (
            {**only("config.json", "state_dict.bin"), **shards("model", "safetensors"),
             **shards("pytorch_model", "bin")},
            ["config.json", *shards("model", "safetensors")],
        ),
        (
            only("config.json", "pytorch_model.bin", "state_dict.bin"),
            ["state_dict.bin"],
        ),
        (
            only("config.json", "compression_state_dict.bin", "state_dict.bin", "README.md"),
            ["state_dict.bin", "compression_state_dict.bin", "README.md"],
        ),
        (only("config.json", "pytorch_model.bin"), ["config.json", "pytorch_model.bin"]),
        (
            {**only("config.json"), **shards("pytorch_model", "bin")},
            ["config.json", *shards("pytorch_model", "bin")],
        ),
        ({"trained_model.tar": b"t", "config.yaml": b"y"}, ["trained_model.tar"]),
        ({"checkpoint.th": b"c", "optimizer.th": b"o"}, ["checkpoint.th"]),
        (
            {"fanfare.json": b"f", "lm.safetensors": b"l", "codec/config.json": b"cc",
             "codec/model.safetensors": b"cm", "song.wav": b"w"},
            ["fanfare.json", "codec/config.json", "lm.safetensors", "codec/model.safetensors"],
        ),
    ],
)  # fmt: skip
def test_one_layout_is_fetched(hub: Hub, files: dict[str, bytes], chosen: list[str]) -> None:
    hub.publish("owner/other", files)
    folder = find_on_hub(HubModel("owner/other"))
    assert hub.fetched() == sorted(chosen)
    for name in chosen:
        assert (folder / name).read_bytes() == files[name]


def test_what_is_cached_needs_no_network(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = find_on_hub(MODEL)
    hub.asked()
    assert find_on_hub(MODEL) == folder
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert find_on_hub(MODEL) == folder
    assert hub.asked() == []


def test_a_revision(hub: Hub) -> None:
    newer = {**FILES, "model.safetensors": b"n" * 1000}
    hub.publish("owner/model", newer, commit=COMMITS[1], branch="v2")
    first = find_on_hub(MODEL)
    for revision in ("v2", COMMITS[1]):
        second = find_on_hub(HubModel("owner/model", revision))
        assert (second / "model.safetensors").read_bytes() == b"n" * 1000
    assert (first / "model.safetensors").read_bytes() == b"s" * 1000


def test_the_newest_is_fetched_on_demand_only(hub: Hub) -> None:
    old = find_on_hub(MODEL)
    hub.publish("owner/model", {**FILES, "model.safetensors": b"new"}, commit=COMMITS[1])
    assert find_on_hub(MODEL) == old
    hub.asked()
    new = find_on_hub(MODEL, newest=True)
    assert (new / "model.safetensors").read_bytes() == b"new"
    assert hub.fetched() == ["model.safetensors"]
    assert find_on_hub(MODEL) == new


def test_what_was_interrupted_is_completed(hub: Hub) -> None:
    hub.web.answers[f"/owner/model/resolve/{COMMITS[0]}/tokenizer.json"].statuses = [404]
    with pytest.raises(CheckpointError, match="owner/model couldn't be had from the hub"):
        find_on_hub(MODEL)
    hub.asked()
    assert (find_on_hub(MODEL) / "tokenizer.json").is_file()
    assert "tokenizer.json" in hub.fetched()


def test_half_a_model_isnt_taken_for_one_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = find_on_hub(MODEL)
    (folder / "tokenizer.json").unlink()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match="fanfare models pull owner/model"):
        find_on_hub(MODEL)


def test_what_another_tool_fetched_is_taken_where_the_hub_cant_be_asked(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.publish("owner/sharded", {**only("config.json"), **shards("model", "safetensors")})
    folder = find_on_hub(HubModel("owner/sharded"))
    shutil.rmtree(folder.parents[1] / "trees")  # which other tools don't leave behind
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert find_on_hub(HubModel("owner/sharded")) == folder
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(CheckpointError, match="isn't in the cache"):
        find_on_hub(HubModel("owner/sharded"))


def test_offline_without_a_cache_says_what_to_do(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        CheckpointError,
        match="owner/model@v2 isn't in the cache, and HF_HUB_OFFLINE is set;"
        " without it, this fetches it: fanfare models pull owner/model@v2",
    ):
        find_on_hub(HubModel("owner/model", "v2"))
    assert hub.asked() == []


def test_a_hub_out_of_reach(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CheckpointError, match="couldn't be had from the hub: "):
        find_on_hub(MODEL)


@pytest.mark.parametrize(
    ("hub_id", "revision", "complaint"),
    [
        ("owner/nothing", None, "the hub has no such model, or it is private"),
        ("owner/model", "no-such", "owner/model has no revision 'no-such'"),
        ("owner/pictures", None, "holds no weights of a known layout, but a.png, b.png"),
        ("owner/a--b", None, "neither a path nor a name on the hub"),
    ],
)
def test_what_the_hub_hasnt_got(
    hub: Hub, hub_id: str, revision: str | None, complaint: str
) -> None:
    hub.publish("owner/pictures", {"b.png": b"", "a.png": b""})
    with pytest.raises(CheckpointError, match=complaint) as caught:
        find_on_hub(HubModel(hub_id, revision))
    assert "\n" not in str(caught.value)


def test_terms_to_accept(hub: Hub) -> None:
    answer = hub.web.answers["/api/models/owner/model"]
    answer.status, answer.headers = 403, {"X-Error-Code": "GatedRepo"}
    with pytest.raises(
        CheckpointError, match=r"accept its terms, at https://huggingface\.co/owner/"
    ):
        find_on_hub(MODEL)


def test_one_file_of_a_repository(hub: Hub) -> None:
    hub.publish("facebook/multiband-diffusion", {
        "mbd_comp_8.pt": b"other", "mbd_musicgen_32khz.th": b"mbd", "README.md": b"",
    })  # fmt: skip
    path = find_on_hub(HubModel("facebook/multiband-diffusion"))
    assert path.read_bytes() == b"mbd"
    assert hub.fetched() == ["mbd_musicgen_32khz.th"]
    assert find_on_hub(HubModel("facebook/multiband-diffusion")) == path
    assert licence_of(path) == "CC-BY-NC-4.0"


def test_the_licence_is_told_once(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "fanfare")
    hub.publish("facebook/musicgen-small", FILES)
    for _ in range(2):
        folder = find_on_hub(HubModel("facebook/musicgen-small"))
    assert [record.getMessage() for record in caplog.records] == [
        "fetching facebook/musicgen-small from the hub: 1.06 kB",
        "facebook/musicgen-small is licensed CC-BY-NC-4.0: not for commercial use",
    ]
    assert [record.levelno for record in caplog.records] == [logging.INFO, logging.WARNING]
    assert licence_of(folder) == "CC-BY-NC-4.0"
    assert hub_id_of(folder / "config.json") == "facebook/musicgen-small"
    caplog.clear()
    assert licence_of(find_on_hub(MODEL)) == "MIT"
    assert caplog.records[-1].getMessage() == "owner/model is licensed MIT"


@pytest.mark.parametrize(
    ("readme", "licence"),
    [
        ("---\nlicense: cc-by-nc-4.0\n---\n", "CC-BY-NC-4.0"),
        ("---\nlicense: apache-2.0\n---\n", "Apache-2.0"),
        ("---\nlicense: other\n---\n", None),
        ("---\nlicense: [mit, x]\n---\n", None),
        ("---\nlicense: [\n---\n", None),
        ("---\n- a\n---\n", None),
        ("# license: mit\n", None),
        (None, None),
    ],
)
def test_the_licence_on_a_card(tmp_path: Path, readme: str | None, licence: str | None) -> None:
    if readme is not None:
        (tmp_path / "README.md").write_text(readme)
    assert licence_of(tmp_path) == licence
    assert hub_id_of(tmp_path) is None


def test_no_layout_needs_a_config_for_its_weights() -> None:
    assert list(layouts(["model.safetensors", "README.md"])) == []
