"""skeleton(): modules whose weights have shapes and no numbers, to be given those of files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

DRAWN = {"uniform_", "normal_", "kaiming_uniform_"}


@contextmanager
def skeleton() -> Iterator[None]:
    """Modules made while this lasts are on the meta device.

    Nothing is drawn for their weights, not even on paper: to draw on the meta device, torch first
    imports its compiler, which takes a second and a hundred megabytes.
    """
    with torch.device("meta"), _Undrawn():
        yield


class _Undrawn(TorchFunctionMode):
    """Leaves tensors alone that were to be filled with random numbers."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if getattr(func, "__name__", "") in DRAWN:
            return args[0] if args else given["tensor"]
        return func(*args, **given)
