"""Pickles read as data: what a pickle would call is written down, and nothing is ever called.

A pickle is a program for a small stack machine that may call anything Python can import. The
machine below runs such a program over plain values only. A class or function is a `Global`, its
name; what calling one would have made is a `Made`, the name with the arguments; a few harmless
ones, such as OrderedDict, become the plain values they stand for. Names that no checkpoint needs
are refused.
"""

from __future__ import annotations

import pickle
import pickletools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO, Any

import numpy as np

Maker = Callable[..., object]
"""Makes the plain value that a call stands for; ValueError or TypeError if the arguments don't."""

MAX_OPERATIONS = 3_000_000
"""Longest program that is run; a checkpoint of ten thousand tensors takes a tenth."""

INERT = re.compile(
    r"omegaconf\.(dictconfig\.DictConfig|listconfig\.ListConfig"
    r"|base\.(Metadata|ContainerMetadata|UnionNode)|nodes\.[A-Z]\w*Node)"
    r"|builtins\.(bool|bytearray|bytes|complex|dict|float|frozenset|int|list|object|set|str|tuple"
    r"|NoneType)|types\.NoneType|typing\.[A-Z]\w*|_?operator\.getitem"
    r"|collections\.(OrderedDict|defaultdict|deque|Counter)"
    r"|datetime\.(date|datetime|time|timedelta|timezone)|argparse\.Namespace"
    r"|numpy\.(dtype|ndarray|(float|int|uint|bool)\d*_?|_?core\.multiarray\._reconstruct)"
    r"|torch\.(b?float\d+\w*|u?int\d+|bool|complex\d+|\w+Storage)"
    r"|torch\.storage\.\w+Storage|torch\.(nn\.parameter\.)?(Parameter|Tensor)"
)
"""Names that may be mentioned, and called: neither has any effect."""

PYTHON_2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}
PYTHON_2_NAMES = {"builtins.long": "builtins.int", "builtins.unicode": "builtins.str"}
PATH = re.compile(r"pathlib\.(_local\.)?(Pure)?(Posix|Windows)?Path")


@dataclass(frozen=True)
class Global:
    """A class or function that a pickle names, as "module.name"."""

    name: str


@dataclass(eq=False)
class Made:
    """What calling `maker` would have made.

    Attributes:
        maker: a class or function, as "module.name".
        args: what it would have been called with.
        state: the attributes that it would have been given.
        items: what would have been appended to it.
        entries: what would have been set in it.
    """

    maker: str
    args: tuple[Any, ...] = ()
    state: Any = None
    items: list[Any] = field(default_factory=list)
    entries: dict[Any, Any] = field(default_factory=dict)


def interpret(
    stream: IO[bytes],
    makers: Mapping[str, Maker],
    resolve: Callable[[object], object],
) -> object:
    """Read one pickle from `stream`, which is left just behind it.

    Args:
        makers: what stands for calls of these names, beside those of `MAKERS`.
        resolve: what stands for a persistent id.

    Raises:
        pickle.UnpicklingError: it holds what isn't known to be harmless.
        ValueError, TypeError, IndexError, KeyError: it is damaged.
    """
    machine = _Machine({**MAKERS, **makers}, resolve)
    for _ in range(MAX_OPERATIONS):
        code = stream.read(1)
        operation = OPERATIONS.get(code)
        if not code:
            raise ValueError("it ends too early")
        if operation is None:
            raise pickle.UnpicklingError(f"it uses the operation {code!r}, which torch doesn't")
        if operation.name == "STOP":
            return machine.pop()
        if operation.name == "GLOBAL":
            argument: Any = (_line(stream), _line(stream))
        else:
            argument = operation.arg.reader(stream) if operation.arg else None
        machine.step(operation.name, argument)
    raise pickle.UnpicklingError("it is longer than any checkpoint's")


def _line(stream: IO[bytes]) -> str:
    return stream.readline().removesuffix(b"\n").decode()


class _Machine:
    """The stack, its marks and the memo; one method per family of operations."""

    def __init__(self, makers: Mapping[str, Maker], resolve: Callable[[object], object]) -> None:
        self.makers = makers
        self.resolve = resolve
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []  # stacks that marks have put aside
        self.memo: dict[int, Any] = {}

    def step(self, name: str, argument: Any) -> None:
        """Run one operation."""
        if name in LITERALS:
            self.stack.append(argument)
        elif name in EMPTY:
            self.stack.append(EMPTY[name]())
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name == "MARK":
            self.below.append(self.stack)
            self.stack = []
        elif name in ("PROTO", "FRAME"):
            pass
        elif name == "POP":
            if self.stack:
                self.pop()
            else:
                self.since_mark()
        elif name == "POP_MARK":
            self.since_mark()
        elif name == "DUP":
            self.stack.append(self.stack[-1])
        elif name == "BINPERSID":
            self.stack.append(self.resolve(self.pop()))
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            self._global(name, argument)
        elif name in ("REDUCE", "NEWOBJ", "NEWOBJ_EX"):
            self._call(name)
        elif name == "BUILD":
            self._build(self.pop())
        elif name in ("APPEND", "APPENDS", "ADDITEMS", "SETITEM", "SETITEMS"):
            self._extend(name)
        else:
            self._gather(name)

    def pop(self) -> Any:
        return self.stack.pop()

    def since_mark(self) -> list[Any]:
        """What was put on the stack since the last mark."""
        items, self.stack = self.stack, self.below.pop()
        return items

    def _global(self, name: str, argument: Any) -> None:
        if name == "GLOBAL":
            module, attribute = argument
        else:
            attribute, module = self.pop(), self.pop()
        full = f"{PYTHON_2.get(module, module)}.{attribute}"
        full = PYTHON_2_NAMES.get(full, full)
        if full not in self.makers and not INERT.fullmatch(full) and not PATH.fullmatch(full):
            raise pickle.UnpicklingError(f"it names {full[:80]!r}, which no checkpoint needs")
        self.stack.append(Global(full))

    def _call(self, name: str) -> None:
        if name == "NEWOBJ_EX":
            self.pop()  # keyword arguments: nothing that is known has any
        args, function = self.pop(), self.pop()
        if not isinstance(function, Global) or not isinstance(args, tuple):
            raise pickle.UnpicklingError("it calls what isn't a function")
        self.stack.append(make(function.name, args, self.makers))

    def _build(self, state: Any) -> None:
        if isinstance(self.stack[-1], Made):
            self.stack[-1].state = state  # of plain values, attributes tell nothing

    def _extend(self, name: str) -> None:
        is_single = name in ("APPEND", "SETITEM")
        if is_single:
            count = 1 if name == "APPEND" else 2
            items = self.stack[-count:]
            del self.stack[-count:]
        else:
            items = self.since_mark()
        target = self.stack[-1]
        if name.startswith("SETITEM"):
            entries = target.entries if isinstance(target, Made) else target
            _set(entries, items)
        else:
            values = target.items if isinstance(target, Made) else target
            if not isinstance(values, list):
                raise ValueError("it appends to what isn't a list")
            values.extend(items)

    def _gather(self, name: str) -> None:
        """Tuples, and containers made from all that follows a mark."""
        if name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            if len(self.stack) < count:
                raise IndexError("stack underflow")
            self.stack[-count:] = [tuple(self.stack[-count:])]
        elif name == "DICT":
            entries: dict[Any, Any] = {}
            _set(entries, self.since_mark())
            self.stack.append(entries)
        else:  # TUPLE, LIST, FROZENSET
            items = self.since_mark()
            self.stack.append(tuple(items) if name == "TUPLE" else items)


# Sets are kept as lists: their elements needn't be hashed here.
EMPTY: dict[str, Callable[[], object]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_SET": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
}

LITERALS = {
    "BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT", "BINSTRING", "SHORT_BINSTRING",
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8",
    "BYTEARRAY8",
}  # fmt: skip

KNOWN = LITERALS | set(EMPTY) | {
    "BINPUT", "LONG_BINPUT", "MEMOIZE", "BINGET", "LONG_BINGET", "MARK", "PROTO", "FRAME", "POP",
    "POP_MARK", "DUP", "BINPERSID", "GLOBAL", "STACK_GLOBAL", "REDUCE", "NEWOBJ", "NEWOBJ_EX",
    "BUILD", "APPEND", "APPENDS", "ADDITEMS", "SETITEM", "SETITEMS", "TUPLE", "TUPLE1", "TUPLE2",
    "TUPLE3", "LIST", "DICT", "FROZENSET", "STOP",
}  # fmt: skip
"""Operations of protocol 2, which torch writes, and later ones."""

OPERATIONS = {
    operation.code.encode("latin-1"): operation
    for operation in pickletools.opcodes
    if operation.name in KNOWN
}


def make(name: str, args: tuple[Any, ...], makers: Mapping[str, Maker]) -> object:
    """What stands for a call of `name`."""
    if name in makers:
        return makers[name](*args)
    if PATH.fullmatch(name):
        return str(PurePosixPath(*args))
    return Made(name, args)


def _set(target: Any, items: list[Any]) -> None:
    if not isinstance(target, dict) or len(items) % 2:
        raise ValueError("it sets entries of what isn't a dictionary")
    for key, value in zip(items[::2], items[1::2], strict=True):
        parts = key if isinstance(key, tuple) else (key,)
        # A key of nested tuples can take forever to hash.
        if not all(isinstance(part, str | int | float | bytes | Global | None) for part in parts):
            raise ValueError(f"a dictionary's key is a {type(key).__name__}")
        target[key] = value


def _pairs(items: Any = ()) -> dict[Any, Any]:
    """OrderedDict: of nothing, or of a list of pairs."""
    entries: dict[Any, Any] = {}
    _set(entries, [part for key, value in items for part in (key, value)])
    return entries


def _listed(items: Any = (), *_: Any) -> list[Any]:
    if not isinstance(items, list | tuple):
        raise TypeError(f"a list of a {type(items).__name__}")
    return list(items)


def _bytes(content: Any = b"", *_: Any) -> bytes:
    """From bytes, from text that stands for them, or from numbers; never from a size."""
    if isinstance(content, str):
        return content.encode("latin-1")
    if not isinstance(content, bytes | list | tuple):
        raise TypeError(f"bytes of a {type(content).__name__}")
    return bytes(content)


def _scalar(dtype: Any, content: Any = b"") -> object:
    """A numpy number as Python's."""
    code = dtype.args[0] if isinstance(dtype, Made) and dtype.args else None
    if not isinstance(code, str) or not re.fullmatch(r"[fiub][1248]", code):
        raise TypeError("a numpy scalar of an unknown type")
    order = dtype.state[1] if isinstance(dtype.state, tuple) and len(dtype.state) > 1 else "<"
    kind = np.dtype((">" if order == ">" else "<") + code)
    if not isinstance(content, bytes) or len(content) != kind.itemsize:
        raise TypeError("a numpy scalar of another size")
    return np.frombuffer(content, kind)[0].item()


def _name(value: Any, *_: Any) -> str:
    """A device or a layout, by its name alone."""
    if not isinstance(value, str):
        raise TypeError(f"a name that is a {type(value).__name__}")
    return value


MAKERS: dict[str, Maker] = {
    "collections.OrderedDict": _pairs,
    "collections.defaultdict": lambda *factory: {},
    "collections.deque": _listed,
    "builtins.set": _listed,
    "builtins.frozenset": _listed,
    "builtins.list": _listed,
    "builtins.tuple": lambda items=(): tuple(_listed(items)),
    "builtins.dict": _pairs,
    "builtins.bytes": _bytes,
    "builtins.bytearray": _bytes,
    "_codecs.encode": _bytes,
    "torch.device": _name,
    "torch.Size": lambda items=(): tuple(_listed(items)),
    "torch.serialization._get_layout": _name,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
}
