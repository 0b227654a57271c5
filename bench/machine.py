"""What the machine can do at best, and what a step asks of it.

Both are measured or counted on the machine at hand, in the same run: how fast memory is copied that
no cache holds, and how fast matrices are multiplied. A step of a language model can't be faster
than reading its weights and its caches once, nor than its multiplications.
"""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fanfare.engine.engine import Engine
from fanfare.engine.onnx_graph import bits_of
from fanfare.engine.onnx_runner import OnnxModel
from fanfare.nn.config import LmConfig
from fanfare.nn.lm import LanguageModel
from fanfare.weights.quantise import block_for
from timing import repeated

COPY_BYTES = 256 * 2**20
MATRIX = {"cpu": 1024, "cuda": 8192}
ROWS_PER_PIECE = 2
"""Guidance runs each piece with its conditions and without."""

GRAPH_NAMES = {
    "self_attn.in_proj": "qkv",
    "self_attn.out_proj": "attention_out",
    "cross_attn.in_proj": "cross_query",
    "cross_attn.out_proj": "cross_out",
    "linear1": "linear1",
    "linear2": "linear2",
}
"""What a layer's matrices are called in an ONNX graph."""


@dataclass(frozen=True)
class Limits:
    """What the device can do at best: bytes read or written, operations of matrices, a second."""

    bytes_per_s: float
    operations_per_s: float

    def step_s(self, n_bytes: float, n_operations: float) -> float:
        """The shortest time in which so much can be moved and computed, both at once."""
        return max(n_bytes / self.bytes_per_s, n_operations / self.operations_per_s)


def limits(device: torch.device, dtype: torch.dtype) -> Limits:
    """Measured now, the best of some, since other work only slows them; int8 on a CPU only."""
    source = torch.ones(COPY_BYTES // 4, device=device)
    target = torch.empty_like(source)
    copy_s = min(repeated(lambda: target.copy_(source), 5, device))
    n = MATRIX.get(device.type, 1024)
    if dtype == torch.int8:
        multiply_s = min(repeated(_integer_product(n), 5))
    else:
        a, b = (torch.randn(n, n, device=device, dtype=dtype) for _ in range(2))
        multiply_s = min(repeated(lambda: a @ b, 5, device))
    return Limits(2 * COPY_BYTES / copy_s, 2 * n**3 / multiply_s)


def _integer_product(n: int) -> Any:
    """A call that multiplies two matrices [n, n] of 8-bit integers, through ONNX Runtime."""
    import numpy as np
    import onnxruntime
    from onnx import TensorProto, helper

    a = helper.make_tensor_value_info("a", TensorProto.UINT8, [n, n])
    b = helper.make_tensor_value_info("b", TensorProto.INT8, [n, n])
    product = helper.make_tensor_value_info("product", TensorProto.INT32, [n, n])
    node = helper.make_node("MatMulInteger", ["a", "b"], ["product"])
    graph = helper.make_graph([node], "product", [a, b], [product])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feeds = {"a": np.ones((n, n), np.uint8), "b": np.ones((n, n), np.int8)}
    return lambda: session.run(None, feeds)


def limits_of(engine: Engine) -> Limits:
    """Of the device that an engine runs on, in the type in which it multiplies."""
    dtype = engine.lm.dtype if not isinstance(engine.model, OnnxModel) else torch.float32
    if isinstance(engine.model, OnnxModel) and engine.model.precision != "float32":
        dtype = torch.int8  # inputs are quantised as they come
    return limits(engine.lm.device, dtype)


@dataclass(frozen=True)
class StepCost:
    """What one step of a language model reads and computes."""

    weight_bytes: int
    n_weights: int
    cache_bytes_per_step: int

    def bytes_at(self, n_rows: int, length: float) -> float:
        """Moved by a step of rows that are `length` steps long: weights once, caches by row."""
        return self.weight_bytes + n_rows * length * self.cache_bytes_per_step

    def operations(self, n_rows: int) -> float:
        """Of a step: a multiplication and an addition by weight and row."""
        return 2.0 * n_rows * self.n_weights


def step_cost(engine: Engine) -> StepCost:
    """From the shape of the model and the engine's precision.

    Embeddings are looked up, not read whole; a text's keys and values are made once a piece.
    """
    n_weights, n_bytes = 0.0, 0.0
    for name, shape in _matrices(engine.lm.config):
        used = shape.numel() * (1 / 3 if "cross_attn.in_proj" in name else 1)
        n_weights += used
        n_bytes += used * bytes_per_weight(engine, name, shape[1])
    width = 4 if engine.lm.device.type == "cpu" else engine.lm.dtype.itemsize  # see KvCache
    cache = 2 * engine.lm.config.n_layers * engine.lm.config.dim * width
    return StepCost(round(n_bytes), round(n_weights), cache)


def weight_bytes(engine: Engine) -> int:
    """Of the whole language model as the engine holds it."""
    in_layers = sum(
        shape.numel() * bytes_per_weight(engine, name, shape[1])
        for name, shape in _matrices(engine.lm.config)
    )
    others = sum(
        p.numel() * p.element_size()
        for name, p in engine.lm.named_parameters()
        if not name.startswith(("layers.", "heads."))
    )
    return round(in_layers) + others


def bytes_per_weight(engine: Engine, name: str, n_inputs: int) -> float:
    """Bytes that the engine reads for a weight of the matrix `name`, its share of scales too."""
    if isinstance(engine.model, OnnxModel):
        found = re.search(r"layers\.(\d+)\.(.*)\.weight", name)
        graph_name = f"{GRAPH_NAMES[found[2]]}_{found[1]}" if found else "heads"
        bits = bits_of(engine.model.precision)(graph_name)
        return bits / 8 + (4 / block_for(n_inputs) if bits < 32 else 0)
    if re.fullmatch(LanguageModel.LOW_PRECISION, name):
        return engine.lm.dtype.itemsize  # packed or not
    return engine.lm.get_parameter(name).element_size()


def _matrices(config: LmConfig) -> list[tuple[str, torch.Size]]:
    """Names and shapes of the matrices that a step multiplies by."""
    with torch.device("meta"):
        lm = LanguageModel(config)
    return [
        (name, tensor.shape)
        for name, tensor in lm.named_parameters()
        if tensor.ndim > 1 and name.startswith(("layers.", "heads."))
    ]


def mean_length(config: LmConfig, n_frames: int) -> float:
    """Steps in view, on the average over a piece."""
    view = config.past_context or n_frames
    full = max(0, n_frames - view)
    grown = min(n_frames, view)
    return (full * view + grown * grown / 2) / n_frames


def steps_s(engine: Engine, found: Limits, n_frames: int, n_pieces: int = 1) -> float:
    """The least that the steps of so many pieces at once can take, each of `n_frames`."""
    cost, config = step_cost(engine), engine.lm.config
    n_rows = n_pieces * ROWS_PER_PIECE
    moved = cost.bytes_at(n_rows, mean_length(config, n_frames))
    return (n_frames + config.max_delay) * found.step_s(moved, cost.operations(n_rows))


def hardware(device: torch.device | None = None) -> str:
    """The machine in a line."""
    info = Path("/proc/cpuinfo")
    names = [x for x in info.read_text().splitlines() if x.startswith("model name")] if (
        info.exists()
    ) else []  # fmt: skip
    cpu = names[0].split(":", 1)[1].strip() if names else platform.processor()
    line = f"{cpu}, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
    if device is not None and device.type == "cuda":
        line += f", {torch.cuda.get_device_name(device)}"
    return f"{line}, torch {torch.__version__}, Python {platform.python_version()}"


def resident_mb(key: str) -> float:
    """VmRSS or VmHWM of this process, in units of 10^6 bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) * 1024 / 1e6
    raise AssertionError(key)


def restart_peak(device: torch.device | None = None) -> None:
    """From now on `peak_mb` counts anew."""
    if device is not None and device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        Path("/proc/self/clear_refs").write_text("5")


def peak_mb(device: torch.device | None = None) -> float:
    """Most memory since `restart_peak`: of the CUDA device what torch had allocated, else VmHWM."""
    if device is not None and device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return resident_mb("VmHWM")


def n_parameters(config: LmConfig) -> int:
    """Of a language model of this shape."""
    with torch.device("meta"):
        return sum(p.numel() for p in LanguageModel(config).parameters())


def available_bytes(device: torch.device) -> float:
    """Memory that nobody uses: of the CUDA device, else of the machine."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no MemAvailable in /proc/meminfo")
