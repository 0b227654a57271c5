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

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from fanfare.nn.lm import LanguageModel
from fanfare.nn.transformer import Layer
from fanfare.weights.quantise import quantise

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


def step_graph(lm: LanguageModel, precision: str) -> onnx.ModelProto:
    """The graph of one call, described above."""
    writer = _Writer(bits_of(precision))
    config = lm.config
    writer.input("x", TensorProto.FLOAT, ["R", "S", config.dim])
    writer.input("held", TensorProto.INT32, ["R"])
    writer.input("longest", TensorProto.INT32, [1])
    has_cross = config.text_fusion == "cross"
    if config.positions == "rope":
        half = config.head_dim // 2
        writer.input("cos", TensorProto.FLOAT, ["P", half])
        writer.input("sin", TensorProto.FLOAT, ["P", half])
        writer.input("place", TensorProto.INT64, ["R", "S"])
    if has_cross:
        writer.input("text", TensorProto.INT32, ["R", "L"])
    x = "x"
    for i, layer in enumerate(lm.layers):
        assert isinstance(layer, Layer)
        x = _layer(writer, lm, layer, i, x)
    last = writer.constants("last", np.array([-1]), np.array([2**31]), np.array([1]))
    x = writer.node("Slice", [x, *last], "x_last")
    x = writer.norm(x, lm.out_norm, "out_norm")
    heads = [head.get_parameter("weight") for head in lm.heads]
    writer.linear(x, _stacked(heads), "heads", output="logits")
    writer.output("logits", ["R", 1, config.n_codebooks * config.card])
    return writer.model()


def cross_graph(lm: LanguageModel, precision: str) -> onnx.ModelProto:
    """Text [1, L, D] to the keys and values of every layer, each [1, H, L, D/H]."""
    writer = _Writer(bits_of(precision))
    config = lm.config
    writer.input("text", TensorProto.FLOAT, [1, "L", config.dim])
    shape = writer.constants("shape", np.array([1, -1, config.n_heads, config.head_dim]))[0]
    for i, layer in enumerate(lm.layers):
        assert isinstance(layer, Layer)
        assert layer.cross_attn is not None
        weight = layer.cross_attn.in_proj.weight[config.dim :]
        for name, part in zip("kv", weight.chunk(2), strict=True):
            flat = writer.linear("text", part, f"cross_{name}{i}")
            heads = writer.node("Reshape", [flat, shape], f"cross_{name}{i}_heads")
            writer.node("Transpose", [heads], f"c{name}{i}", perm=[0, 2, 1, 3])
            writer.output(f"c{name}{i}", [1, config.n_heads, "L", config.head_dim])
    return writer.model()


def _layer(writer: _Writer, lm: LanguageModel, layer: Layer, i: int, x: str) -> str:
    """One layer's nodes; returns the name of its output."""
    config, n = lm.config, f"_{i}"
    heads: dict[str, Any] = {"num_heads": config.n_heads}
    for kind in "kv":
        shape: list[int | str] = ["R", config.n_heads, "N", config.head_dim]
        writer.input(f"{kind}{i}", TensorProto.FLOAT, shape)
        writer.output(f"{kind}{i}_new", shape)
    inner = writer.norm(x, layer.norm1, "norm1" + n)
    qkv = writer.linear(inner, layer.self_attn.in_proj.weight, "qkv" + n)
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
    out = writer.linear(mixed, layer.self_attn.out_proj.weight, "attention_out" + n)
    x = writer.node("Add", [x, out], "x_self" + n)
    if layer.cross_attn is not None:
        assert layer.norm_cross is not None
        inner = writer.norm(x, layer.norm_cross, "norm_cross" + n)
        weight = layer.cross_attn.in_proj.weight[: config.dim]
        query = writer.linear(inner, weight, "cross_query" + n)
        mixed = writer.node(
            "MultiHeadAttention", [query, f"ck{i}", f"cv{i}", "", "text"], "cross" + n,
            domain=MICROSOFT, **heads,
        )  # fmt: skip
        for kind in "kv":
            shape = ["R", config.n_heads, "L", config.head_dim]
            writer.input(f"c{kind}{i}", TensorProto.FLOAT, shape)
        out = writer.linear(mixed, layer.cross_attn.out_proj.weight, "cross_out" + n)
        x = writer.node("Add", [x, out], "x_cross" + n)
    inner = writer.norm(x, layer.norm2, "norm2" + n)
    inner = writer.linear(inner, layer.linear1.weight, "linear1" + n)
    inner = writer.node("Gelu", [inner], "gelu" + n, approximate="none")
    out = writer.linear(inner, layer.linear2.weight, "linear2" + n)
    return writer.node("Add", [x, out], "x" + n)


def _stacked(parts: Sequence[Tensor]) -> Tensor:
    """Matrices of one width, one under the other."""
    return torch.cat([part.detach() for part in parts])


@dataclass
class _Writer:
    """A graph in the making; every method returns the name of what it adds."""

    bits: Bits
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
        names = [f"{name}.{i}" for i in range(len(arrays))]
        self.weights += [numpy_helper.from_array(a, n) for a, n in zip(arrays, names, strict=True)]
        return names

    def split(self, x: str, n_parts: int, name: str) -> list[str]:
        names = [f"{name}.{i}" for i in range(n_parts)]
        self.node("Split", [x], names[0], names[1:], axis=2, num_outputs=n_parts)
        return names

    def norm(self, x: str, norm: Any, name: str) -> str:
        scale = [p.detach().float().cpu().numpy() for p in (norm.weight, norm.bias)]
        inputs = [x, *self.constants(name + "_weights", *scale)]
        return self.node("LayerNormalization", inputs, name, axis=-1, epsilon=norm.eps)

    def linear(self, x: str, weight: Tensor, name: str, output: str | None = None) -> str:
        """`x` [..., m] times `weight` [n, m]."""
        output = output or name
        weight = weight.detach().cpu()
        bits = self.bits(name)
        if bits == 32:
            matrix = self.constants(name + "_weights", weight.float().T.contiguous().numpy())
            return self.node("MatMul", [x, *matrix], output)
        small = quantise(weight, bits)
        n, m = small.shape
        parts = self.constants(name + "_weights", small.values.numpy(), small.scales.numpy())
        return self.node(
            "MatMulNBits", [x, *parts], output, domain=MICROSOFT, K=m, N=n, bits=bits,
            block_size=small.block, accuracy_level=INT8_ACTIVATIONS,
        )  # fmt: skip

    def model(self) -> onnx.ModelProto:
        graph = helper.make_graph(self.nodes, "step", self.inputs, self.outputs, self.weights)
        versions = [helper.make_opsetid("", 21), helper.make_opsetid(MICROSOFT, 1)]
        return helper.make_model(graph, opset_imports=versions, ir_version=10)
