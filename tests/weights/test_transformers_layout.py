"""Checkpoints that transformers saves give what transformers computes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from fanfare.engine.job import Job, Result
from fanfare.engine.torch_engine import generate
from fanfare.errors import CheckpointError
from fanfare.nn.melody import fit_length, silent_chroma
from fanfare.nn.sampling import SamplingSettings
from fanfare.weights.load import load_bundle

TEXT = "epic battle"
GREEDY = SamplingSettings(temperature=0)
SAMPLED = SamplingSettings(top_k=20, temperature=0.9, guidance=2.5)


def our_codes(
    pair: Any, n_frames: int, settings: SamplingSettings, prompt: Tensor | None = None
) -> Tensor:
    conditions, null = pair.ours.conditions(TEXT)
    *_, result = generate(pair.ours.lm, [Job(n_frames, conditions, null, settings, 3, prompt)])
    assert isinstance(result, Result)
    assert result.codes[0] is not None
    return result.codes[0]


def random_prompt(n_codebooks: int, n_frames: int) -> Tensor:
    return torch.randint(64, (n_codebooks, n_frames), generator=torch.Generator().manual_seed(2))


@torch.inference_mode()
def test_logits_equal_the_peers(pair: Any) -> None:
    config = pair.ours.config
    tokens = torch.randint(65, (1, config.n_codebooks, 9))
    conditions, _ = pair.ours.conditions(TEXT)
    inputs = pair.text_inputs(TEXT)
    if conditions.prefix is None:
        expected = pair.peer(**inputs, decoder_input_ids=tokens[0]).logits
        logits = pair.ours.lm(tokens, cross=conditions.cross[None])[0]
    else:
        chroma = silent_chroma(20)[None]
        expected = pair.peer(**inputs, input_features=chroma, decoder_input_ids=tokens[0]).logits
        expected = expected[:, -9:]  # the peer's prefix has logits too
        logits = pair.ours.lm(tokens, prefix=conditions.prefix[None])[0]
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("given", [0, 6])
@torch.inference_mode()
def test_greedy_codes_equal_the_peers(pair: Any, given: int) -> None:
    prompt = random_prompt(pair.ours.config.n_codebooks, given) if given else None
    expected = pair.peer_codes(
        30, prompt, **pair.text_inputs(TEXT), do_sample=False, guidance_scale=3.0
    )
    assert torch.equal(our_codes(pair, 30, GREEDY, prompt), expected)


@torch.inference_mode()
def test_sampled_codes_equal_the_peers(pair: Any) -> None:
    torch.manual_seed(3)
    expected = pair.peer_codes(
        30,
        **pair.text_inputs(TEXT),
        do_sample=True,
        guidance_scale=SAMPLED.guidance,
        top_k=SAMPLED.top_k,
        temperature=SAMPLED.temperature,
    )
    assert torch.equal(our_codes(pair, 30, SAMPLED), expected)


@torch.inference_mode()
def test_melodies_condition_as_the_peers(melody_pair: Any) -> None:
    ours = melody_pair.ours
    classes = torch.nn.functional.one_hot(torch.arange(7) % 12, 12).float()
    conditions = ours.lm.conditions(ours.text.encode(TEXT), classes)
    job = Job(25, conditions, ours.lm.null_conditions(conditions), GREEDY, 0)
    *_, result = generate(ours.lm, [job])
    expected = melody_pair.peer_codes(
        25,
        **melody_pair.text_inputs(TEXT),
        input_features=fit_length(classes, 20)[None],
        do_sample=False,
        guidance_scale=3.0,
    )
    assert isinstance(result, Result)
    assert result.codes[0] is not None
    assert torch.equal(result.codes[0], expected)
    assert not torch.equal(result.codes[0], our_codes(melody_pair, 25, GREEDY))


@torch.inference_mode()
def test_codec_equals_the_peers(pair: Any) -> None:
    channels = pair.ours.config.channels
    wav = torch.randn(2, channels, 4001)
    codes = pair.ours.codec.encode(wav)
    peer = pair.peer.audio_encoder
    expected = torch.stack(
        [peer.encode(wav[:, c : c + 1]).audio_codes[0] for c in range(channels)], dim=2
    ).flatten(1, 2)
    assert torch.equal(codes, expected)
    decoded = torch.cat(
        [peer.decode(codes[None, :, c::channels], [None]).audio_values for c in range(channels)],
        dim=1,
    )
    torch.testing.assert_close(pair.ours.codec.decode(codes), decoded, atol=1e-5, rtol=0)


def test_long_audio_is_decoded_in_pieces_without_seams(
    pair: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = pair.ours.codec
    codes = torch.randint(64, (2, codec.n_codebooks, 75))
    whole = codec.decode(codes)
    monkeypatch.setattr("fanfare.nn.codec.PART_FRAMES", 20)
    torch.testing.assert_close(codec.decode(codes), whole, atol=1e-5, rtol=0)


def test_shards_are_read(text_pair: Any) -> None:
    assert (text_pair.folder / "model.safetensors.index.json").is_file()
    theirs = text_pair.peer.decoder.model.decoder.layers[1].fc1.weight
    assert torch.equal(text_pair.ours.lm.layers[1].linear1.weight, theirs)


def test_half_precision_and_old_names_are_read(melody_pair: Any, tmp_path: Path) -> None:
    folder = tmp_path / "old"
    shutil.copytree(melody_pair.folder, folder)
    tensors = load_file(folder / "model.safetensors")
    renamed = {}
    for name, tensor in tensors.items():
        name = name.replace("parametrizations.weight.original0", "weight_g")
        renamed[name.replace("parametrizations.weight.original1", "weight_v")] = tensor.half()
    renamed["decoder.model.decoder.embed_positions.weights"] = torch.zeros(2048, 32)
    save_file(renamed, folder / "model.safetensors")
    bundle = load_bundle(folder, dtype=torch.bfloat16)
    assert bundle.lm.dtype == torch.bfloat16
    for name, weight in bundle.lm.named_parameters():
        is_matrix = name.startswith("layers.") and "norm" not in name
        assert weight.dtype == (torch.bfloat16 if is_matrix else torch.float32), name
    assert {p.dtype for p in bundle.codec.parameters()} == {torch.float32}
    wav = torch.randn(1, 1, 3000)
    torch.testing.assert_close(
        bundle.codec.model.encoder(wav), melody_pair.peer.audio_encoder.encoder(wav),
        atol=1e-2, rtol=1e-2,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"decoder": {"activation_function": "relu"}}, "activation_function = 'relu'"),
        ({"decoder": {"scale_embedding": True}}, "scale_embedding = True"),
        ({"decoder": {"tie_word_embeddings": True}}, "tie_word_embeddings = True"),
        ({"decoder": {"cross_attention_hidden_size": 8}}, "cross_attention_hidden_size = 8"),
        ({"decoder": {"pad_token_id": 0}}, "pad_token_id = 0 isn't supported; it must be 64"),
        ({"decoder": {"audio_channels": 3}}, "audio_channels = 3"),
        ({"decoder": {"num_codebooks": 5, "audio_channels": 2}}, "num_codebooks = 5 for 2"),
        ({"decoder": {"num_attention_heads": 5}}, "dim isn't a multiple of n_heads"),
        ({"text_encoder": {"feed_forward_proj": "gated-silu"}}, "feed_forward_proj = 'gated-silu'"),
        ({"audio_encoder": {"normalize": True}}, "normalize = True"),
        ({"decoder": {"num_hidden_layers": 3}}, "Missing: decoder.model.decoder.layers.2"),
        ({"decoder": {"num_hidden_layers": 1}}, "Unknown: decoder.model.decoder.layers.1"),
        ({"decoder": {"ffn_dim": 64}}, r"fc1.weight is \(48, 32\)"),
        ({"model_type": "bark"}, "'bark' must be musicgen or musicgen_melody"),
        ({"audio_encoder": {"chunk_length_s": 1.0}}, "chunk_length_s = 1.0"),
    ],
)
def test_what_isnt_understood_is_refused(
    text_pair: Any, tmp_path: Path, change: dict[str, Any], complaint: str
) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(text_pair.folder, folder)
    config = json.loads((folder / "config.json").read_text())
    for key, value in change.items():
        config[key] = {**config[key], **value} if isinstance(value, dict) else value
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match=complaint):
        load_bundle(folder)


def test_parts_may_lie_elsewhere(text_pair: Any, tmp_path: Path) -> None:
    peer = text_pair.peer
    peer.audio_encoder.save_pretrained(tmp_path / "codec")
    peer.text_encoder.save_pretrained(tmp_path / "t5")
    shutil.copyfile(text_pair.folder / "tokenizer.json", tmp_path / "t5" / "tokenizer.json")
    bundle = load_bundle(
        text_pair.folder, text_encoder=tmp_path / "t5", codec=str(tmp_path / "codec")
    )
    assert torch.equal(bundle.text.encode(TEXT), text_pair.ours.text.encode(TEXT))
    codes = random_prompt(4, 3)[None]
    assert torch.equal(bundle.codec.decode(codes), text_pair.ours.codec.decode(codes))


def test_text_states_equal_the_peers_and_nothing_is_nothing(text_pair: Any) -> None:
    encoder = text_pair.ours.text
    expected = text_pair.peer.text_encoder(**text_pair.text_inputs(TEXT)).last_hidden_state[0]
    torch.testing.assert_close(encoder.encode(TEXT), expected, atol=1e-5, rtol=0)
    assert encoder.encode(None) is None
    assert encoder.encode("") is None
    assert encoder.encode(" ") is not None


def test_a_folder_without_a_model_and_a_name_of_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint of a known layout"):
        load_bundle(tmp_path)
    with pytest.raises(CheckpointError, match="no model 'nothing-of-this-name'"):
        load_bundle("nothing-of-this-name")
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(CheckpointError, match="not a JSON object"):
        load_bundle(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "musicgen"}')
    with pytest.raises(CheckpointError, match="decoder is missing"):
        load_bundle(tmp_path)
