"""Files that appear whole or not at all, and never in another's place by accident."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from fanfare.errors import InputError, OutputError


def check_target(path: Path, *, overwrite: bool) -> None:
    """Refuse, before any work is done, a path that can't be written in the end."""
    if not path.parent.is_dir():
        raise InputError("output", str(path), "its folder doesn't exist: create it first")
    if path.is_dir():
        raise InputError("output", str(path), "is a folder: name a file in it")
    if path.exists() and not overwrite:
        raise InputError("output", str(path), "exists: name another file, or overwrite on purpose")
    if not os.access(path.parent, os.W_OK):
        raise InputError("output", str(path), "its folder can't be written to")


def write_whole(path: Path, data: bytes, *, overwrite: bool = False) -> Path:
    """Write a file through a temporary neighbour; OutputError if it exists or can't be made."""
    try:
        handle, name = tempfile.mkstemp(prefix=".fanfare-", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise OutputError(f"{path} can't be written: {error.strerror}") from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        if overwrite:
            temporary.replace(path)
        else:
            _move_to_free_name(temporary, path)
    except FileExistsError:
        raise OutputError(f"{path} exists: name another file, or overwrite on purpose") from None
    except OSError as error:
        raise OutputError(f"{path} can't be written: {error.strerror}") from error
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
    return path


def write_beside(path: Path, data: bytes) -> Path:
    """Write under `path`, or the next free name after it (`-2`, `-3`, …); returns which."""
    candidate, number = path, 1
    while True:
        if not candidate.exists():
            try:
                return write_whole(candidate, data)
            except OutputError:
                if not candidate.exists():
                    raise
        number += 1
        candidate = path.with_name(f"{path.stem}-{number}{path.suffix}")


def _move_to_free_name(temporary: Path, path: Path) -> None:
    """Give the file its name unless that is taken: FileExistsError."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        # No hard links here (FAT, some network disks): claim the name, then replace the claim.
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
        temporary.replace(path)


def _umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
