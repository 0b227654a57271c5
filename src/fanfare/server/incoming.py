"""Incoming: a file that is being written, and is nobody's until it is whole."""

from __future__ import annotations

import errno
import hashlib
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from fanfare.errors import FanfareError
from fanfare.server.media import HEAD_BYTES


class FileTooLargeError(FanfareError):
    """More bytes came than a file may have: `limit_bytes`."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        super().__init__(f"the file is larger than {limit_bytes:,} bytes, the most allowed here")


class StorageFullError(FanfareError):
    """There is no room for another file."""

    def __init__(self) -> None:
        super().__init__("there is no room for more files: delete some, or try again later")


class Incoming:
    """Writes a temporary file; `finish` makes it durable under its final name at one stroke.

    Leaving the `with` block without `finish` leaves nothing behind.

    Args:
        part: where it is written; on the same file system as where it goes.
        cap_bytes: FileTooLargeError beyond it.
    """

    def __init__(self, part: Path, cap_bytes: int) -> None:
        self._part = part
        self._cap_bytes = cap_bytes
        self._sha256, self._md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        self.size = 0
        self.head = b""
        self._file = open(part, "xb")  # noqa: SIM115  closed by __exit__

    def __enter__(self) -> Incoming:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Closing writes what is buffered: on a full disk that fails, and must not hide `error`.
        with suppress(OSError):
            self._file.close()
        self._part.unlink(missing_ok=True)

    def write(self, chunk: bytes) -> None:
        """Add bytes; FileTooLargeError, StorageFullError."""
        self.size += len(chunk)
        if self.size > self._cap_bytes:
            raise FileTooLargeError(self._cap_bytes)
        if len(self.head) < HEAD_BYTES:
            self.head = (self.head + chunk[:HEAD_BYTES])[:HEAD_BYTES]
        self._sha256.update(chunk)
        self._md5.update(chunk)
        try:
            self._file.write(chunk)
        except OSError as error:
            raise as_storage_error(error) from error

    def finish(self, path: Path) -> None:
        """All has come: on the disk, then under its name, then that on the disk too."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            os.replace(self._part, path)
            sync_folder(path.parent)
        except OSError as error:
            raise as_storage_error(error) from error

    @property
    def sha256(self) -> str:
        """Of all that has come, in hexadecimal."""
        return self._sha256.hexdigest()

    @property
    def md5(self) -> str:
        """Of all that has come, in hexadecimal."""
        return self._md5.hexdigest()


def as_storage_error(error: OSError) -> Exception:
    """StorageFullError when that is what is wrong, else the error itself."""
    is_full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
    return StorageFullError() if is_full else error


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable; systems that can't open folders do without."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
