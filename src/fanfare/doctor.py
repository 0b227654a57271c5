"""What this machine has: engines, devices, memory, codecs, and the built-in model."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from fanfare.version import fanfare_version

BUILTIN = Path(__file__).parent / "builtin" / "epic-mini"
EXTRAS = {"plot": "matplotlib", "melody": "demucs"}


@dataclass(frozen=True)
class Finding:
    """One line of the report; `ok` is false where something that every run needs is missing."""

    name: str
    value: str
    ok: bool = True


def examine() -> list[Finding]:
    """All findings, in the order to print them."""
    return [
        Finding("fanfare", f"{fanfare_version()} on Python {platform.python_version()}"),
        Finding("system", f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"),
        _memory(),
        *_torch(),
        *_codecs(),
        *_extras(),
        _builtin_model(),
    ]


def _memory() -> Finding:
    try:
        size = os.sysconf("SC_PAGE_SIZE")
        total, free = (size * os.sysconf(f"SC_{x}") for x in ("PHYS_PAGES", "AVPHYS_PAGES"))
    except (ValueError, OSError, AttributeError):
        return Finding("memory", "unknown")
    return Finding("memory", f"{total / 2**30:.1f} GiB, {free / 2**30:.1f} GiB unused")


def _torch() -> list[Finding]:
    try:
        import torch
    except ImportError as error:
        return [Finding("engine torch", f"missing: {error}", ok=False)]
    devices = [f"cpu ({torch.get_num_threads()} threads)"]
    for index in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(index)
        devices.append(f"cuda:{index} ({gpu.name}, {gpu.total_memory / 2**30:.0f} GiB)")
    if torch.backends.mps.is_available():
        devices.append("mps")
    return [
        Finding("engine torch", f"torch {torch.__version__}"),
        Finding("devices", ", ".join(devices)),
    ]


def _codecs() -> list[Finding]:
    findings = []
    try:
        import av

        findings.append(
            Finding("reads", f"PyAV {av.__version__}: {len(av.codecs_available)} codecs")
        )
    except ImportError as error:
        findings.append(Finding("reads", f"missing: {error}", ok=False))
    try:
        import soundfile

        known = soundfile.available_formats()
        wanted = ("WAV", "MP3", "FLAC", "OGG")
        missing = [name for name in wanted if name not in known]
        value = f"libsndfile {soundfile.__libsndfile_version__}: " + ", ".join(
            name.lower() for name in wanted if name in known
        )
        value += f"; missing: {', '.join(missing).lower()}" if missing else ""
        findings.append(Finding("writes", value, ok=not missing))
    except (ImportError, OSError) as error:
        findings.append(Finding("writes", f"missing: {error}", ok=False))
    return findings


def _extras() -> list[Finding]:
    return [
        Finding(
            f"extra {extra}",
            "installed" if find_spec(module) else f"pip install 'fanfare-music[{extra}]'",
        )
        for extra, module in EXTRAS.items()
    ]


def _builtin_model() -> Finding:
    weights = list(BUILTIN.glob("*.safetensors"))
    if not weights:
        return Finding("epic-mini", f"missing from {BUILTIN}: install the package again", ok=False)
    size = sum(file.stat().st_size for file in weights)
    return Finding("epic-mini", f"built in, {size / 1e6:.1f} MB")
