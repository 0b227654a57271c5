"""The road from Inputs to a piece: every field counts, and what can't be done is refused early."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fanfare
from fanfare.audio.io import encode, read_audio
from fanfare.audio.loudness import loudness_lufs
from fanfare.errors import AudioFileError, InputError
from fanfare.inputs import Inputs
from fanfare.model import Model
from fanfare.nn.resample import resample_frac
from fanfare.piece import Audio
from fanfare.predict import Finished, Progress, Started
from sounds import RATE_HZ, broken_files, chord, sound_file, wav_bytes
from tiny import write_checkpoint

FRAME = 640  # samples


def make(model: Model, **fields: Any) -> Audio:
    """A short piece; fields that a test doesn't name are at fixed values."""
    return model.generate(**{"prompt": "epic brass", "duration": 1, "seed": 3, **fields})


def same(a: Audio, b: Audio) -> bool:
    return bool(np.array_equal(a.codes, b.codes))


# Each published field, in order: the result must change with it.


def test_prompt(text_model: Model) -> None:
    assert same(make(text_model), make(text_model))
    assert not same(make(text_model), make(text_model, prompt="calm piano"))


def test_input_audio_as_melody(melody_model: Model, recording: Path) -> None:
    other = sum(np.sin(2 * np.pi * hz * np.arange(RATE_HZ) / RATE_HZ) for hz in (185.0, 277.2))
    other_file = io.BytesIO(encode(np.float32(0.2) * other[None].astype("f4"), RATE_HZ, "wav"))
    none = make(melody_model, temperature=0)
    first = make(melody_model, temperature=0, input_audio=recording)
    second = make(melody_model, temperature=0, input_audio=other_file)
    assert not same(none, first)
    assert not same(first, second)
    assert first.codes.shape == none.codes.shape


@pytest.mark.parametrize("duration", [1, 2, 3])
def test_duration(text_model: Model, duration: int) -> None:
    piece = make(text_model, duration=duration)
    assert piece.codes.shape == (4, 50 * duration)
    assert piece.samples.shape == (1, RATE_HZ * duration)
    assert piece.duration_s == duration


def test_continuation(text_model: Model, recording: Path) -> None:
    piece = make(text_model, input_audio=recording, continuation=True)
    assert piece.duration_s == 5.0, "the excerpt, then the new seconds"
    import torch

    wav = torch.from_numpy(read_audio(recording).samples)[None]
    given = text_model.bundle.codec.encode(wav)[0].numpy()
    np.testing.assert_array_equal(piece.codes[:, :200], given)


def test_continuation_in_a_melody_model(melody_model: Model, recording: Path) -> None:
    followed = make(melody_model, input_audio=recording)
    continued = make(melody_model, input_audio=recording, continuation=True)
    assert followed.duration_s == 1.0
    assert continued.duration_s == 5.0


def test_continuation_start_and_end(text_model: Model, recording: Path) -> None:
    def excerpt(start: int, end: int | None) -> np.ndarray:
        piece = make(
            text_model, input_audio=recording, continuation=True,
            continuation_start=start, continuation_end=end,
        )  # fmt: skip
        return piece.codes[:, :-50]

    whole = excerpt(0, None)
    assert excerpt(1, None).shape[1] == 150
    assert excerpt(0, 1).shape[1] == 50
    assert excerpt(1, 3).shape[1] == 100
    np.testing.assert_array_equal(excerpt(0, -1), whole)
    np.testing.assert_array_equal(excerpt(0, 99), whole)
    # Away from its edges an excerpt has the codes of the whole.
    assert (excerpt(1, 3)[0, 20:80] == whole[0, 70:130]).mean() > 0.9


def test_the_excerpt_is_cut_at_its_own_rate(text_model: Model) -> None:
    rate_hz = 44100
    sound = chord(3.0, rate_hz=rate_hz)
    file = io.BytesIO(encode(sound, rate_hz, "wav", 24))
    piece = make(text_model, input_audio=file, continuation=True, continuation_start=1,
                 continuation_end=2)  # fmt: skip
    import torch

    sound = torch.from_numpy(read_audio(file).samples[:, rate_hz : 2 * rate_hz])
    cut = resample_frac(sound, rate_hz, RATE_HZ)
    given = text_model.bundle.codec.encode(cut[None])[0].numpy()
    np.testing.assert_array_equal(piece.codes[:, :50], given)


@pytest.mark.parametrize("cut", [{"continuation_start": 2}, {"continuation_end": 2}])
def test_melodies_are_cut_too(melody_model: Model, cut: dict[str, int]) -> None:
    low, high = (
        0.2 * np.sin(2 * np.pi * hz * np.arange(2 * RATE_HZ) / RATE_HZ) for hz in (220, 311.1)
    )
    both = np.concatenate([low, high])[None].astype(np.float32)
    half = low if "continuation_end" in cut else high
    whole_file = io.BytesIO(encode(both, RATE_HZ, "wav"))
    half_file = io.BytesIO(encode(half[None].astype(np.float32), RATE_HZ, "wav"))
    uncut = make(melody_model, input_audio=whole_file, temperature=0)
    cut_here = make(melody_model, input_audio=whole_file, temperature=0, **cut)
    cut_before = make(melody_model, input_audio=half_file, temperature=0)
    assert same(cut_here, cut_before)
    assert not same(cut_here, uncut)


def test_multi_band_diffusion(text_model: Model) -> None:
    with pytest.raises(InputError, match="without diffusion weights") as caught:
        make(text_model, multi_band_diffusion=True)
    assert caught.value.field == "multi_band_diffusion"


def test_normalization_strategy(text_model: Model) -> None:
    pieces = {
        strategy: make(text_model, normalization_strategy=strategy, duration=2).samples
        for strategy in ("loudness", "clip", "peak", "rms")
    }
    assert loudness_lufs(pieces["loudness"], RATE_HZ) == pytest.approx(-14, abs=1)
    assert np.abs(pieces["peak"]).max() == pytest.approx(10 ** (-1 / 20), abs=1e-5)
    assert np.sqrt(np.mean(pieces["rms"] ** 2)) == pytest.approx(10 ** (-18 / 20), rel=0.05)
    levels = {round(float(np.abs(samples).mean()), 6) for samples in pieces.values()}
    assert len(levels) == 4


def test_top_k(text_model: Model) -> None:
    greedy = make(text_model, temperature=0)
    assert same(make(text_model, top_k=1), greedy)
    assert not same(make(text_model, top_k=5), greedy)
    assert not same(make(text_model, top_k=5), make(text_model, top_k=20))
    # No more codes than there are: a larger k, or none, is all of them.
    everything = make(text_model, top_k=0)
    assert same(make(text_model, top_k=10**12), everything)


def test_top_p(text_model: Model) -> None:
    greedy = make(text_model, temperature=0)
    assert same(make(text_model, top_p=1e-9), greedy)
    assert not same(make(text_model, top_p=0.9), greedy)
    assert not same(make(text_model, top_p=0.9), make(text_model, top_p=0.5))
    assert same(make(text_model, top_p=0.9, top_k=1), make(text_model, top_p=0.9, top_k=250))


def test_temperature(text_model: Model) -> None:
    cold = [make(text_model, temperature=0, seed=seed) for seed in (1, 2)]
    assert same(*cold)
    assert not same(make(text_model, temperature=1.0), cold[0])
    assert not same(make(text_model, temperature=1.0), make(text_model, temperature=2.0))
    assert same(make(text_model, temperature=1e-300), cold[0])


def test_classifier_free_guidance(text_model: Model) -> None:
    by_weight = [make(text_model, classifier_free_guidance=weight) for weight in (0, 1, 3, 10)]
    for i, piece in enumerate(by_weight):
        assert not any(same(piece, other) for other in by_weight[i + 1 :])
    # With no weight on the prompt it doesn't matter.
    assert same(by_weight[0], make(text_model, prompt="calm", classifier_free_guidance=0))


@pytest.mark.parametrize(("output_format", "magic"), [("wav", b"RIFF"), ("mp3", b"ID3")])
def test_output_format(text_model: Model, output_format: str, magic: bytes) -> None:
    piece = make(text_model, output_format=output_format)
    assert piece.to_bytes().startswith(magic)
    assert piece.file_name.endswith(f".{output_format}")


def test_seed(text_model: Model) -> None:
    assert not same(make(text_model, seed=3), make(text_model, seed=4))
    assert make(text_model, seed=3).to_bytes() == make(text_model, seed=3).to_bytes()


def test_seed_zero_is_a_seed(text_model: Model) -> None:
    zero = make(text_model, seed=0)
    assert zero.seed == 0
    assert same(zero, make(text_model, seed=0))


@pytest.mark.parametrize("seed", [None, -1])
def test_random_seeds_are_reported(text_model: Model, seed: int | None) -> None:
    first, second = (make(text_model, seed=seed) for _ in range(2))
    assert first.seed != second.seed
    assert 0 <= first.seed < 2**31
    assert same(first, make(text_model, seed=first.seed))
    assert first.inputs.seed == seed
    assert first.tags.inputs["seed"] == first.seed


def test_the_largest_seed(text_model: Model) -> None:
    assert make(text_model, seed=2**32 - 1).seed == 2**32 - 1


# The whole road gives the codes that the published packages give.

GOLDEN = Path(__file__).parent / "golden"
EPIC = "epic orchestral battle music with taiko drums"


@pytest.fixture(scope="module", params=["audiocraft-text", "audiocraft-melody"])
def golden(request: pytest.FixtureRequest) -> tuple[Model, Any]:
    folder = GOLDEN / request.param
    tar = folder / "cog_trained_model.tar"
    model = fanfare.load(
        tar if tar.exists() else folder,
        codec=GOLDEN / "encodec_32khz",
        text_encoder=GOLDEN / "t5-base",
        device="cpu",
    )
    with np.load(folder / "expected.npz") as expected:
        return model, dict(expected)


@pytest.fixture(scope="module")
def golden_melody() -> io.BytesIO:
    """Four seconds as a wav file of floats."""
    with np.load(GOLDEN / "melody.npz") as arrays:
        samples = arrays[arrays.files[0]].astype("<f4")
    return io.BytesIO(wav_bytes(samples.tobytes(), code=3, bits=32))


@pytest.mark.parametrize(("name", "fields"), [
    ("text_greedy_codes", {"duration": 2, "temperature": 0}),
    ("text_sampled_seed7_topk20_t09_codes",
     {"duration": 2, "seed": 7, "top_k": 20, "temperature": 0.9}),
    ("text_sampled_seed11_topp08_cfg2_codes",
     {"prompt": "calm piano", "duration": 2, "seed": 11, "top_p": 0.8,
      "classifier_free_guidance": 2}),
    ("continuation_1s_total2s_greedy_codes",
     {"duration": 1, "temperature": 0, "continuation": True, "continuation_end": 1}),
    ("melody_noseparation_greedy_codes", {"duration": 2, "temperature": 0}),
    ("long_33s_stride18_greedy_codes", {"duration": 33, "temperature": 0}),
])  # fmt: skip
def test_codes_of_the_published_packages(
    golden: tuple[Model, Any], golden_melody: io.BytesIO, name: str, fields: dict[str, Any]
) -> None:
    model, expected = golden
    heard = golden_melody if name.startswith(("melody", "continuation")) else None
    request = {"prompt": EPIC, "input_audio": heard, **fields}
    if name not in expected:  # a text model follows no melody, there or here
        assert model.bundle.config.n_chroma is None
        with pytest.raises(InputError, match="input_audio"):
            model.generate(**request)
        return
    piece = model.generate(**request)
    np.testing.assert_array_equal(piece.codes, expected[name])


# What a model can't do is refused before anything is generated.


@pytest.mark.parametrize(("fields", "field", "words"), [
    ({"input_audio": "RECORDING"}, "input_audio", "melody"),
    ({"input_audio": "RECORDING"}, "input_audio", "epic-mini"),
    ({"input_audio": "RECORDING", "continuation": True, "continuation_start": 4},
     "continuation_start", "lasts 4.00 s"),
    ({"input_audio": "RECORDING", "continuation": True, "continuation_start": 9},
     "continuation_start", "lasts 4.00 s"),
    ({"input_audio": "nowhere.wav", "continuation": True}, "input_audio", "No such file"),
    ({"input_audio": "https://a.b/c.wav", "continuation": True}, "input_audio", "download"),
])  # fmt: skip
def test_refused_before_generating(
    text_model: Model, recording: Path, fields: dict[str, Any], field: str, words: str
) -> None:
    if fields.get("input_audio") == "RECORDING":
        fields = {**fields, "input_audio": recording}
    request = {"prompt": "epic", **fields}
    events = text_model.events([request])
    with pytest.raises(InputError, match=words) as caught:
        next(events)
    assert caught.value.field == field


def test_excerpts_that_fill_the_models_view(text_model: Model) -> None:
    long = io.BytesIO(encode(chord(30.0), RATE_HZ, "flac"))
    with pytest.raises(InputError, match="start later") as caught:
        make(text_model, input_audio=long, continuation=True)
    assert caught.value.field == "continuation_start"
    piece = make(text_model, input_audio=long, continuation=True, continuation_start=1)
    assert piece.duration_s == 30.0


def test_long_pieces_go_on_in_their_melody(melody_model: Model) -> None:
    # The tiny model hears 2.6 s of a melody, and the second window begins at 18 s.
    time_s = np.arange(22 * RATE_HZ) / RATE_HZ
    one = 0.2 * np.sin(2 * np.pi * 220 * time_s)
    other = np.where(time_s < 18, one, 0.2 * np.sin(2 * np.pi * 311.1 * time_s))
    files = [
        io.BytesIO(encode(melody[None].astype(np.float32), RATE_HZ, "wav"))
        for melody in (one, other)
    ]
    first, second = (
        make(melody_model, duration=31, temperature=0, input_audio=file).codes for file in files
    )
    np.testing.assert_array_equal(first[:, :1500], second[:, :1500])
    assert not np.array_equal(first[:, 1500:], second[:, 1500:])


def test_excerpts_of_nothing(text_model: Model) -> None:
    blip = io.BytesIO(sound_file("wav", 0.49))
    with pytest.raises(AudioFileError, match="longer recording"):
        make(text_model, input_audio=blip, continuation=True)


def test_every_broken_file(text_model: Model, tmp_path: Path) -> None:
    for name, path in broken_files(tmp_path).items():
        with pytest.raises(AudioFileError) as caught:
            make(text_model, input_audio=path, continuation=True)
        assert caught.value.field == "input_audio", name


def test_limits_on_recordings_come_from_the_settings(
    text_folder: Path, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FANFARE_MAX_AUDIO_S", "3")
    monkeypatch.setenv("FANFARE_MAX_DURATION_S", "5")
    model = fanfare.load(text_folder)
    with pytest.raises(AudioFileError, match="longer than 3 s"):
        make(model, input_audio=recording, continuation=True)
    with pytest.raises(InputError, match="from 1 to 5"):
        make(model, duration=6)


# A model that is conditioned on a plan.


@pytest.fixture(scope="module")
def plan_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return fanfare.load(write_checkpoint(tmp_path_factory.mktemp("weights") / "plan", "plan"))


def test_plans_come_from_prompt_and_seed(plan_model: Model) -> None:
    fast, slow = "fast heroic brass, 150 bpm", "slow calm harp, 60 bpm"
    first = make(plan_model, prompt=fast, temperature=0)
    assert same(first, make(plan_model, prompt=fast, temperature=0))
    assert not same(first, make(plan_model, prompt=slow, temperature=0))
    assert not same(first, make(plan_model, prompt=fast, temperature=0, seed=4))
    assert not same(first, make(plan_model, prompt=fast, temperature=0, classifier_free_guidance=1))


def test_plans_from_recordings(plan_model: Model, recording: Path) -> None:
    plain = make(plan_model, temperature=0)
    followed = make(plan_model, temperature=0, input_audio=recording)
    continued = make(plan_model, temperature=0, input_audio=recording, continuation=True)
    assert followed.codes.shape == plain.codes.shape
    assert not same(followed, plain)
    assert continued.duration_s == 5.0
    assert not np.array_equal(continued.codes[:, 200:], plain.codes)
    assert make(plan_model, prompt=None, input_audio=recording).duration_s == 1.0


@pytest.mark.parametrize("continuation", [True, False])
@pytest.mark.parametrize("duration_s", [0.5, 0.6, 1.0, 9.0])
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_plans_from_any_recording(
    plan_model: Model, continuation: bool, duration_s: float, level: float
) -> None:
    sound = chord(duration_s) * np.float32(level)
    file = io.BytesIO(encode(sound, RATE_HZ, "wav"))
    piece = make(plan_model, input_audio=file, continuation=continuation)
    assert np.isfinite(piece.samples).all()


def test_plans_longer_than_any_window(plan_model: Model) -> None:
    assert make(plan_model, duration=31).duration_s == 31.0


# Sound in.


@pytest.mark.parametrize("rate_hz", [16000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_any_recording_will_do(text_model: Model, rate_hz: int, channels: int) -> None:
    file = io.BytesIO(encode(chord(1.5, channels, rate_hz), rate_hz, "flac"))
    piece = make(text_model, input_audio=file, continuation=True)
    assert piece.codes.shape[1] == 75 + 50


def test_silence_can_be_continued(text_model: Model) -> None:
    file = io.BytesIO(encode(np.zeros((1, RATE_HZ), np.float32), RATE_HZ, "wav"))
    assert np.isfinite(make(text_model, input_audio=file, continuation=True).samples).all()


def test_without_a_prompt(text_model: Model, recording: Path) -> None:
    piece = make(text_model, prompt=None, input_audio=recording, continuation=True)
    assert piece.duration_s == 5.0
    weightless = make(text_model, prompt=None, input_audio=recording, continuation=True,
                      classifier_free_guidance=10)  # fmt: skip
    assert same(piece, weightless), "guidance has nothing to guide to"


def test_stereo(tmp_path: Path, recording: Path) -> None:
    model = fanfare.load(write_checkpoint(tmp_path / "stereo", "stereo"))
    piece = make(model, input_audio=recording, continuation=True)
    assert piece.codes.shape == (8, 250)
    assert piece.samples.shape == (2, 5 * RATE_HZ)
    assert read_audio(io.BytesIO(piece.to_bytes("flac"))).samples.shape[0] == 2


# Events and batches.


def test_events(text_model: Model) -> None:
    requests = [{"prompt": "epic", "duration": 1, "seed": 4}, {"prompt": "calm", "duration": 2}]
    events = list(text_model.events(requests))
    started, progress, finished = events[0], events[1:-2], events[-2:]
    assert isinstance(started, Started)
    assert started.seeds[0] == 4
    steps = [event for event in progress if isinstance(event, Progress)]
    assert len(steps) == len(progress)
    assert [event.step for event in steps] == list(range(1, steps[-1].n_steps + 1))
    assert 100 <= steps[-1].n_steps <= 104
    assert [event.index for event in finished if isinstance(event, Finished)] == [0, 1]


def test_a_batch_is_what_each_would_be_alone(melody_model: Model, recording: Path) -> None:
    requests = [
        Inputs(prompt="epic brass", duration=1, seed=1),
        Inputs(prompt="calm", duration=2, seed=2, top_p=0.8, temperature=0.9),
        Inputs(input_audio=recording, duration=1, seed=3, classifier_free_guidance=1),
        Inputs(prompt="slow", input_audio=recording, continuation=True, continuation_end=1,
               duration=1, seed=4, output_format="mp3", normalization_strategy="peak"),
    ]  # fmt: skip
    together = melody_model.generate_batch(requests)
    for request, piece in zip(requests, together, strict=True):
        alone = melody_model.generate(request)
        assert same(alone, piece)
        assert piece.inputs == request
        np.testing.assert_allclose(alone.samples, piece.samples, atol=1e-4)


def test_an_empty_batch(text_model: Model) -> None:
    assert text_model.generate_batch([]) == []


def test_a_wrong_request_stops_the_batch_early(text_model: Model) -> None:
    with pytest.raises(InputError, match="duration"):
        text_model.events([{"prompt": "a"}, {"prompt": "b", "duration": 0}])


def test_a_cancelled_request_is_not_finished(text_model: Model) -> None:
    flags = [threading.Event(), threading.Event()]
    requests = [
        Inputs(prompt="epic", duration=1, seed=1),
        Inputs(prompt="calm", duration=1, seed=2),
    ]
    finished = []
    for event in text_model.events(requests, cancelled=flags):
        if isinstance(event, Progress) and event.step == 10:
            flags[0].set()
        if isinstance(event, Finished):
            finished.append(event)
    assert [event.index for event in finished] == [1]
    assert same(finished[0].audio, text_model.generate(requests[1]))


def test_all_cancelled_stops_at_once(text_model: Model) -> None:
    flag = threading.Event()
    n_steps = 0
    for event in text_model.events([{"prompt": "epic", "duration": 20}], cancelled=[flag]):
        n_steps += isinstance(event, Progress)
        flag.set()
    assert n_steps <= 1


def test_calls_do_not_touch_each_other(text_model: Model) -> None:
    alone = make(text_model, seed=1)
    first = text_model.events([Inputs(prompt="epic brass", duration=1, seed=1)])
    second = text_model.events([Inputs(prompt="calm", duration=1, seed=2, temperature=2.0)])
    pieces = []
    for one, _ in zip(first, second, strict=True):
        if isinstance(one, Finished):
            pieces.append(one.audio)
    assert same(pieces[0], alone)


def test_torchs_own_generator_is_left_alone(text_model: Model) -> None:
    import torch

    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    make(text_model)
    assert torch.rand(1) == expected


def test_pieces_hold_whole_frames(text_model: Model) -> None:
    piece = make(text_model)
    assert piece.samples.dtype == np.float32
    assert piece.codes.dtype == np.int64
    assert piece.samples.shape[1] == piece.codes.shape[1] * FRAME
