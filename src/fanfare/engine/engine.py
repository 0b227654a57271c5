"""Engine: what runs a language model's layers, and how it is chosen.

torch          any device; the reference. In float32 on a CPU, the published codes to the token.
onnxruntime    CPUs, several times as fast; float32 (but for rounding), int8, int4.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch

from fanfare.engine.job import Frames, Job, Progress, Result
from fanfare.engine.loop import Loop, run
from fanfare.engine.memory import give_back
from fanfare.engine.onnx_runner import PRECISIONS, OnnxModel, OnnxRunner
from fanfare.engine.runners import AnyRunner, RunnerPool, idle_bytes
from fanfare.engine.torch_runner import make_runner
from fanfare.errors import InputError
from fanfare.nn.lm import LanguageModel
from fanfare.weights.tensors import Left

ENGINES = ("auto", "torch", "onnxruntime")
TORCH_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DTYPES = ("auto", *TORCH_DTYPES, "int8", "int4")
LARGE = 50_000_000
"""Parameters from which on reading weights bounds a step, so that int8 is what "auto" means."""


@dataclass(frozen=True)
class Choice:
    """An engine and the type of its matrices; `dtype` "auto" depends on the model's size."""

    engine: str
    dtype: str

    def for_model(self, lm: LanguageModel) -> Choice:
        """The same without "auto", which depends on the size of `lm`."""
        if self.dtype != "auto":
            return self
        n_parameters = sum(p.numel() for p in lm.parameters())
        return replace(self, dtype="int8" if n_parameters >= LARGE else "float32")

    @property
    def is_quantised(self) -> bool:
        """Whether matrices are integers."""
        return self.dtype in ("int8", "int4")

    @property
    def leaves_layers(self) -> bool:
        """Whether the engine reads the layers' weights from their files itself."""
        return self.engine == "onnxruntime"

    @property
    def loaded_as(self) -> torch.dtype:
        """What the weights are loaded as; ONNX Runtime's are quantised from float32."""
        return TORCH_DTYPES[self.dtype] if self.engine == "torch" else torch.float32


def choose(engine: str, dtype: str, device: torch.device) -> Choice:
    """The engine and type meant by names of which any may be "auto".

    On a CPU, "auto" is ONNX Runtime, unless a type is asked for that only torch has, or float32,
    which is asked for to be exact. Raises InputError for what isn't known or doesn't go together.
    """
    if engine not in ENGINES:
        raise InputError("engine", engine, f"must be one of {', '.join(ENGINES)}")
    if dtype not in DTYPES:
        raise InputError("dtype", dtype, f"must be one of {', '.join(DTYPES)}")
    if engine == "auto":
        is_cpu = device.type == "cpu"
        engine = "torch" if dtype in TORCH_DTYPES or not is_cpu else "onnxruntime"
    if engine == "torch":
        if dtype not in (*TORCH_DTYPES, "auto"):
            hint = (
                f"the torch engine has {', '.join(TORCH_DTYPES)}; use engine onnxruntime on a cpu"
            )
            raise InputError("dtype", dtype, hint)
        return Choice(engine, _torch_dtype(device) if dtype == "auto" else dtype)
    if device.type != "cpu":
        raise InputError("engine", engine, f"runs on a cpu, not on {device}: use torch")
    if dtype not in (*PRECISIONS, "auto"):
        hint = f"engine onnxruntime has {', '.join(PRECISIONS)}; use engine torch"
        raise InputError("dtype", dtype, hint)
    return Choice(engine, dtype)


def _torch_dtype(device: torch.device) -> str:
    if device.type == "cpu":
        return "float32"
    is_old = device.type == "cuda" and not torch.cuda.is_bf16_supported(False)
    return "float16" if is_old else "bfloat16"


class Engine:
    """A language model, ready to run jobs; it holds weights only.

    Attributes:
        name: for people: what it runs with, in which type.
        lm: the model's shape, embeddings and conditioning; with ONNX Runtime, without its layers.
    """

    def __init__(
        self,
        lm: LanguageModel,
        choice: Choice,
        left: Mapping[str, Left] | None = None,
        cache_dir: Path | None = None,
    ) -> None:
        """Of `left` and `cache_dir` see `OnnxModel`; the torch engine needs whole models."""
        self.model: LanguageModel | OnnxModel = lm
        self.lm = lm
        if choice.engine == "onnxruntime":
            dtype = choice.for_model(lm).dtype
            self.model = OnnxModel(lm, dtype, left, cache_dir)
            self.lm = self.model.lm
            self.name = self.model.name
        else:
            lm.pack()
            self.name = f"torch {choice.dtype}"
        self._runners = RunnerPool(
            partial(_make_runner, self.model), max_bytes=idle_bytes(lm.device)
        )

    def run(self, jobs: Sequence[Job]) -> Iterator[Progress | Frames | Result]:
        """Run jobs together: `Progress` after every step, `Frames` where asked, the `Result`.

        A job's codes don't depend on the others, nor on torch's global generator.
        """
        n_rows = sum(2 if job.is_guided else 1 for job in jobs)
        with self._runners.lend(n_rows) as runner, closing(run(runner, jobs)) as events:
            while True:
                with self.threads():
                    event = next(events, None)
                if event is None:
                    break
                yield event
        give_back()

    def open_loop(self, n_rows: int) -> Loop:
        """A loop for jobs that come and go; `threads` is to be held while it runs."""
        return Loop(_make_runner(self.model, n_rows))

    def threads(self) -> AbstractContextManager[None]:
        """Torch's threads as they should be while steps are made."""
        return single_thread() if isinstance(self.model, OnnxModel) else nullcontext()


def _make_runner(model: LanguageModel | OnnxModel, n_rows: int) -> AnyRunner:
    if isinstance(model, OnnxModel):
        return OnnxRunner(model, n_rows)
    return make_runner(model, n_rows)


@contextmanager
def single_thread() -> Iterator[None]:
    """Torch on one thread: its idle ones spin, and take the cores from ONNX Runtime's."""
    n_threads = torch.get_num_threads()
    if n_threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)
