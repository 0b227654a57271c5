"""From any layout to our own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import torch

from fanfare.errors import InputError, OutputError
from fanfare.weights.describe import describe
from fanfare.weights.load import load_bundle
from fanfare.weights.own_layout import CARD, save_own
from fanfare.weights.registry import find

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def check_target(folder: Path, *, force: bool) -> None:
    """Refuse, before any work, a folder that can't be written, or must not be replaced."""
    hint = None
    if not folder.absolute().parent.is_dir():
        hint = "the folder that it is to be in doesn't exist: create it first"
    elif folder.is_dir() and not any(folder.iterdir()):
        return
    elif folder.exists() and not force:
        hint = "exists: name another folder, or overwrite on purpose with --force"
    elif folder.exists() and not (folder / CARD).is_file():
        hint = "isn't a model in Fanfare's layout, so it isn't replaced: name another folder"
    elif not os.access(folder.absolute().parent, os.W_OK):
        hint = "its folder can't be written to"
    if hint is not None:
        raise InputError("dest", str(folder), hint)


def convert(
    source: str | Path,
    folder: Path,
    *,
    name: str | None = None,
    dtype: str | None = None,
    with_text_encoder: bool = True,
    text_encoder: str | Path | None = None,
    codec: str | Path | None = None,
    diffusion: str | Path | None = None,
    force: bool = False,
) -> Path:
    """Write a model of any layout into `folder`, in ours; it appears whole or not at all.

    Args:
        name: for people; None = what it was called.
        dtype: of the language model on disk; None = the smallest that loses nothing. Everything
            else is run in float32, and is written so that nothing is lost.
        with_text_encoder: without, one has to be given whenever the model is loaded.
        text_encoder: and the other two: as for `load_bundle`.
        force: replace a model that is there.

    Raises:
        CheckpointError: the source is missing, damaged, or of an unknown kind.
        InputError: the folder can't be written, or must not be replaced.
        OutputError: it couldn't be written in the end.
    """
    check_target(folder, force=force)
    facts = describe(find(source))
    kept = facts.dtypes[0] if len(facts.dtypes) == 1 and facts.dtypes[0] in DTYPES else "float32"
    bundle = load_bundle(
        source,
        text_encoder=text_encoder,
        codec=codec,
        diffusion=diffusion,
        dtype=DTYPES[dtype or kept],
    )
    temporary = folder.absolute().with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        save_own(
            temporary,
            name=name or facts.name,
            lm=bundle.lm,
            codec=bundle.codec.model,
            text=bundle.text if with_text_encoder else None,
            diffusion=bundle.diffusion,
            licence=bundle.licence or facts.licence,
            extra=bundle.extra,
            dtype=None if dtype is None else DTYPES[dtype],
            parts_dtype=None,
        )
        _put(temporary, folder)
    except OSError as error:
        raise OutputError(f"{folder} can't be written: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _put(temporary: Path, folder: Path) -> None:
    """Give a finished folder its name; what had it goes."""
    if not folder.exists():
        temporary.rename(folder)
        return
    old = temporary.with_suffix(".old")
    folder.rename(old)
    temporary.rename(folder)
    shutil.rmtree(old)
