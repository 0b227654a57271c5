"""Model: weights that make music, and how to get one."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from fanfare.chunks import CHUNK_S
from fanfare.engine.engine import Engine, choose
from fanfare.engine.memory import give_back
from fanfare.errors import InputError
from fanfare.inputs import Inputs
from fanfare.piece import Audio
from fanfare.predict import Event, Finished, predict
from fanfare.rules import OWN
from fanfare.session import MAX_PIECES, Session
from fanfare.settings import Settings, read_settings
from fanfare.stream import Stream
from fanfare.weights.bundle import Bundle
from fanfare.weights.load import load_bundle


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded model. It holds weights only: calls don't touch each other."""

    bundle: Bundle
    settings: Settings
    engine: Engine

    @property
    def name(self) -> str:
        """What it was loaded as."""
        return self.bundle.name

    def generate(self, request: Inputs | None = None, /, **fields: object) -> Audio:
        """Make one piece from an `Inputs`, or from its fields by name.

        Raises InputError naming the field, before anything is generated.
        """
        return self.generate_batch([_one(request, fields)])[0]

    def stream(
        self, request: Inputs | None = None, /, *, chunk_s: float = CHUNK_S, **fields: object
    ) -> Stream:
        """Make one piece and hear it while it is made, in chunks of about `chunk_s` seconds.

            with model.stream(prompt="heroic brass") as stream:
                for chunk in stream:
                    play(chunk.samples)
            stream.finished.save("epic.wav")

        What is streamed is levelled as it goes and so differs in level from the finished piece,
        which is the one that `generate` gives. Raises InputError as `generate` does.
        """
        parsed = self._parsed([_one(request, fields)])
        return Stream(predict(self.bundle, self.engine, parsed, self.settings, chunk_s=chunk_s))

    def generate_batch(self, requests: Sequence[Inputs | Mapping[str, object]]) -> list[Audio]:
        """Make several pieces at once, each as it would come out alone; faster than in turn."""
        finished = [event for event in self.events(requests) if isinstance(event, Finished)]
        return [event.audio for event in finished]

    def events(
        self,
        requests: Sequence[Inputs | Mapping[str, object]],
        cancelled: Sequence[threading.Event] | None = None,
        chunk_s: float | None = None,
    ) -> Iterator[Event]:
        """What happens while pieces are made: `Started`, `Progress` by step, `Finished` by piece.

        With `chunk_s` there is also a `Chunk` each so many seconds of a piece. A flag in
        `cancelled`, one per request, stops that request between two steps; closing the iterator
        stops them all.
        """
        parsed = self._parsed(requests)
        if not parsed:
            return iter(())
        return predict(self.bundle, self.engine, parsed, self.settings, cancelled, chunk_s)

    def session(self, max_pieces: int = MAX_PIECES) -> Session:
        """For requests that come and go: at most `max_pieces` are played at once."""
        return Session(self.bundle, self.engine, self.settings, max_pieces)

    def _parsed(self, requests: Sequence[Inputs | Mapping[str, object]]) -> list[Inputs]:
        rules = OWN.within(max_duration_s=self.settings.max_duration_s)
        parsed = []
        for request in requests:
            fields = dict(request) if isinstance(request, Inputs) else request
            parsed.append(Inputs.parse(fields, rules=rules))
        return parsed

    def __repr__(self) -> str:
        return f"Model({self.name!r}, {self.bundle.lm.device}, {self.engine.name})"


def _one(request: Inputs | None, fields: Mapping[str, object]) -> Inputs | Mapping[str, object]:
    """A request as it came: an `Inputs`, or its fields."""
    if request is not None and fields:
        raise InputError(next(iter(fields)), fields, "give Inputs or fields, not both")
    return fields if request is None else request


def load(
    name: str | Path = "epic-mini",
    *,
    device: str = "auto",
    engine: str = "auto",
    dtype: str = "auto",
    text_encoder: str | Path | None = None,
    codec: str | Path | None = None,
    diffusion: str | Path | None = None,
) -> Model:
    """Load a built-in model by name, a folder of weights, or a repository of the hub.

    `device` "auto" is the first CUDA device, else the CPU. `engine` is "torch" or "onnxruntime",
    which is faster on CPUs; `dtype` is "float32", "bfloat16" or "float16" with torch, "float32",
    "int8" or "int4" with ONNX Runtime. Where both are "auto": on a CPU ONNX Runtime, in int8 for
    large models; elsewhere torch in half precision. A `dtype` of torch's means torch: "float32"
    gives the published codes to the token. `text_encoder`, `codec` and `diffusion` (for
    multi_band_diffusion) stand in where weights come without.
    Raises CheckpointError for weights that are missing or damaged, InputError for the rest.
    """
    place = _device(device)
    choice = choose(engine, dtype, place)
    bundle = load_bundle(
        name,
        text_encoder=text_encoder,
        codec=codec,
        diffusion=diffusion,
        device=place,
        dtype=choice.loaded_as,
        leave_layers=choice.leaves_layers,
    )
    choice = choice.for_model(bundle.lm)
    if choice.is_quantised and bundle.text is not None:
        bundle.text.narrow()
    give_back()
    settings = read_settings()
    running = Engine(bundle.lm, choice, bundle.left, settings.cache_dir)
    give_back()
    return Model(replace(bundle, lm=running.lm), settings, running)


def _device(name: str) -> torch.device:
    """A device of this machine by name."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError("device", name, "must be auto, cpu, cuda, cuda:0 … or mps") from None
    present = {
        "cpu": True,
        "cuda": (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not present.get(device.type, False):
        raise InputError("device", name, "isn't on this machine: use auto or cpu")
    return device
