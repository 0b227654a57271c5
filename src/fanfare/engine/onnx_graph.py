"""The language model as an ONNX graph: a few steps of some rows on top of their caches.

R rows, S new steps, N cache slots, H heads, D width, L text length, K codebooks.

    x        float32 [R, S, D]   embedded steps, positions and plan added
    held     int32 [R]           steps that each row holds when this call is done, less one
    longest  int32 [1]           the largest of `held`, plus one
    cos, sin float32 [R*S, D/H/2] and place int64 [R, S]: rotations, in models that rotate
    k0, v0 … [R, H, N, D/H]      caches, which the call extends in place
    ck0, cv0 … [R, H, L, D/H]    the text's keys and values, in models with cross-attention
    text     int32 [R, L]        1 where a text counts

    logits   float32 [R, 1, K * card] of the last step

Matrices are float32 (MatMul) or blocks of integers (MatMulNBits, whose inputs are quantised to
int8 as they come); norms, attention, residuals and logits are float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from fanfare.engine.graph_files import CROSS, STEP, WEIGHTS
from fanfare.nn.config import LmConfig
from fanfare.nn.lm import LanguageModel
from fanfare.nn.transformer import NORM_EPS
from fanfare.weights.quantise import block_for, quantise

PAGE_BYTES = 4096
PART = 4 * 2**20
"""How many weights are converted at once."""

MICROSOFT = "com.microsoft"
INT8_ACTIVATIONS = 4
"""MatMulNBits' accuracy level that multiplies integers by integers."""

Bits = Callable[[str], int]
"""Bits of the matrix of that name: 4, 8, or 32 for float."""


def bits_of(precision: str) -> Bits:
    """How the matrices are kept: "float32", "int8", or "int4", whose heads have 8 bits."""
    if precision == "int4":
        return lambda name: 8 if name == "heads" else 4
    return lambda _: {"float32": 32, "int8": 8}[precision]


Read = Callable[[str], Tensor]
"""The language model's weight of a name."""


def write_graphs(
    folder: Path,
    lm: LanguageModel,
    precision: str,
    left: Mapping[str, Callable[[], Tensor]] | None = None,
) -> None:
    """Write the graphs of a model, and the file of their weights, into an empty folder.

    Weights that `left` names are read through it, one at a time: the others are those of `lm`.
    """

    def read(name: str) -> Tensor:
        weight = left[name]() if left and name in left else lm.get_parameter(name)
        return weight.detach().cpu()

    config, bits = lm.config, bits_of(precision)
    with (folder / WEIGHTS).open("wb") as file:
        graphs = {STEP: _step_graph(_Writer(config, read, bits, file))}
        if config.text_fusion == "cross":
            graphs[CROSS] = _cross_graph(_Writer(config, read, bits, file))
    for name, graph in graphs.items():
        (folder / name).write_bytes(graph.SerializeToString())


def _step_graph(writer: _Writer) -> onnx.ModelProto:
    """The graph of one call, described above."""
    config = writer.config
    writer.input("x", TensorProto.FLOAT, ["R", "S", config.dim])
    writer.input("held", TensorProto.INT32, ["R"])
    writer.input("longest", TensorProto.INT32, [1])
    if config.positions == "rope":
        half = config.head_dim // 2
        writer.input("cos", TensorProto.FLOAT, ["P", half])
        writer.input("sin", TensorProto.FLOAT, ["P", half])
        writer.input("place", TensorProto.INT64, ["R", "S"])
    if config.text_fusion == "cross":
        writer.input("text", TensorProto.INT32, ["R", "L"])
    x = "x"
    for i in range(config.n_layers):
        x = _layer(writer, i, x)
    last = writer.constants("last", np.array([-1]), np.array([2**31]), np.array([1]))
    x = writer.node("Slice", [x, *last], "x_last")
    x = writer.norm(x, "out_norm", "out_norm")
    heads = [writer.read(f"heads.{k}.weight") for k in range(config.n_codebooks)]
    writer.linear(x, torch.cat(heads), "heads", output="logits")
    writer.output("logits", ["R", 1, config.n_codebooks * config.card])
    return writer.model()


def _cross_graph(writer: _Writer) -> onnx.ModelProto:
    """Text [1, L, D] to the keys and values of every layer, each [1, H, L, D/H]."""
    config = writer.config
    writer.input("text", TensorProto.FLOAT, [1, "L", config.dim])
    shape = writer.constants("shape", np.array([1, -1, config.n_heads, config.head_dim]))[0]
    for i in range(config.n_layers):
        weight = writer.read(f"layers.{i}.cross_attn.in_proj.weight")[config.dim :]
        for name, part in zip("kv", weight.chunk(2), strict=True):
            flat = writer.linear("text", part, f"cross_{name}{i}")
            heads = writer.node("Reshape", [flat, shape], f"cross_{name}{i}_heads")
            writer.node("Transpose", [heads], f"c{name}{i}", perm=[0, 2, 1, 3])
            writer.output(f"c{name}{i}", [1, config.n_heads, "L", config.head_dim])
    return writer.model()


def _layer(writer: _Writer, i: int, x: str) -> str:
    """One layer's nodes; returns the name of its output."""
    config, n, weights = writer.config, f"_{i}", f"layers.{i}."

    def linear(x: str, matrix: str, name: str) -> str:
        return writer.linear(x, writer.read(f"{weights}{matrix}.weight"), name + n)

    heads: dict[str, Any] = {"num_heads": config.n_heads}
    for kind in "kv":
        shape: list[int | str] = ["R", config.n_heads, "N", config.head_dim]
        writer.input(f"{kind}{i}", TensorProto.FLOAT, shape)
        writer.output(f"{kind}{i}_new", shape)
    inner = writer.norm(x, weights + "norm1", "norm1" + n)
    qkv = linear(inner, "self_attn.in_proj", "qkv")
    queries = [qkv, "", ""]
    if config.positions == "rope":
        queries = writer.split(qkv, 3, "qkv_part" + n)
        for part in (0, 1):
            queries[part] = writer.node(
                "RotaryEmbedding", [queries[part], "place", "cos", "sin"],
                f"rotated{part}{n}", domain=MICROSOFT, interleaved=0, **heads,
            )  # fmt: skip
    window = config.past_context
    mixed = writer.node(
        "GroupQueryAttention", [*queries, f"k{i}", f"v{i}", "held", "longest"], "attention" + n,
        domain=MICROSOFT, more_outputs=[f"k{i}_new", f"v{i}_new"], kv_num_heads=config.n_heads,
        **heads, **({} if window is None else {"local_window_size": window}),
    )  # fmt: skip
    out = linear(mixed, "self_attn.out_proj", "attention_out")
    x = writer.node("Add", [x, out], "x_self" + n)
    if config.text_fusion == "cross":
        inner = writer.norm(x, weights + "norm_cross", "norm_cross" + n)
        weight = writer.read(weights + "cross_attn.in_proj.weight")[: config.dim]
        query = writer.linear(inner, weight, "cross_query" + n)
        mixed = writer.node(
            "MultiHeadAttention", [query, f"ck{i}", f"cv{i}", "", "text"], "cross" + n,
            domain=MICROSOFT, **heads,
        )  # fmt: skip
        for kind in "kv":
            shape = ["R", config.n_heads, "L", config.head_dim]
            writer.input(f"c{kind}{i}", TensorProto.FLOAT, shape)
        out = linear(mixed, "cross_attn.out_proj", "cross_out")
        x = writer.node("Add", [x, out], "x_cross" + n)
    inner = writer.norm(x, weights + "norm2", "norm2" + n)
    inner = linear(inner, "linear1", "linear1")
    inner = writer.node("Gelu", [inner], "gelu" + n, approximate="none")
    out = linear(inner, "linear2", "linear2")
    return writer.node("Add", [x, out], "x" + n)


@dataclass
class _Writer:
    """A graph in the making; every method returns the name of what it adds."""

    config: LmConfig
    read: Read
    bits: Bits
    file: IO[bytes]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    outputs: list[onnx.ValueInfoProto] = field(default_factory=list)

    def input(self, name: str, kind: int, shape: list[int | str]) -> None:
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))

    def output(self, name: str, shape: list[int | str]) -> None:
        self.outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def node(
        self,
        kind: str,
        inputs: list[str],
        name: str,
        more_outputs: list[str] | None = None,
        **attributes: Any,
    ) -> str:
        outputs = [name, *(more_outputs or [])]
        self.nodes.append(helper.make_node(kind, inputs, outputs, name=name, **attributes))
        return name

    def constants(self, name: str, *arrays: Any) -> list[str]:
        """Small ones, kept in the graph itself."""
        names = [f"{name}.{i}" for i in range(len(arrays))]
        self.weights += [numpy_helper.from_array(a, n) for a, n in zip(arrays, names, strict=True)]
        return names

    def weight(self, name: str, kind: int, shape: Sequence[int], parts: Iterator[Tensor]) -> str:
        """A large one, written to the file part by part."""
        self.file.write(bytes(-self.file.tell() % PAGE_BYTES))  # so that it can be mapped
        start = self.file.tell()
        for part in parts:
            self.file.write(part.contiguous().numpy().data)
        tensor = TensorProto(name=name, data_type=kind, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        where = {"location": WEIGHTS, "offset": start, "length": self.file.tell() - start}
        for key, value in where.items():
            tensor.external_data.add(key=key, value=str(value))
        self.weights.append(tensor)
        return name

    def split(self, x: str, n_parts: int, name: str) -> list[str]:
        names = [f"{name}.{i}" for i in range(n_parts)]
        self.node("Split", [x], names[0], names[1:], axis=2, num_outputs=n_parts)
        return names

    def norm(self, x: str, module: str, name: str) -> str:
        scale = [self.read(f"{module}.{part}").float().numpy() for part in ("weight", "bias")]
        inputs = [x, *self.constants(name + "_weights", *scale)]
        return self.node("LayerNormalization", inputs, name, axis=-1, epsilon=NORM_EPS)

    def linear(self, x: str, weight: Tensor, name: str, output: str | None = None) -> str:
        """`x` [..., m] times `weight` [n, m]."""
        output = output or name
        bits, (n, m) = self.bits(name), weight.shape
        if bits == 32:
            columns = torch.split(weight.float().T, max(1, PART // n))
            matrix = self.weight(f"{name}.weight", TensorProto.FLOAT, (m, n), iter(columns))
            return self.node("MatMul", [x, matrix], output)
        scales: list[Tensor] = []

        def values() -> Iterator[Tensor]:
            for rows in torch.split(weight, max(1, PART // m)):
                small = quantise(rows, bits)
                scales.append(small.scales)
                yield small.values

        block = block_for(m)
        n_blocks = -(-m // block)
        shape = (n, n_blocks, block * bits // 8)
        parts = [
            self.weight(f"{name}.values", TensorProto.UINT8, shape, values()),
            self.weight(f"{name}.scales", TensorProto.FLOAT, (n, n_blocks), iter(scales)),
        ]
        return self.node(
            "MatMulNBits", [x, *parts], output, domain=MICROSOFT, K=m, N=n, bits=bits,
            block_size=block, accuracy_level=INT8_ACTIVATIONS,
        )  # fmt: skip

    def model(self) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "step", self.inputs, self.outputs, self.weights)
        versions = [helper.make_opsetid("", 21), helper.make_opsetid(MICROSOFT, 1)]
        return helper.make_model(graph, opset_imports=versions, ir_version=10)
