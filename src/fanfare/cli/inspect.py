"""fanfare inspect: how a file sounds, as figures and as a picture, and what made it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fanfare.cli.console import as_lines, finite, reported
from fanfare.inputs import Inputs

if TYPE_CHECKING:
    from fanfare.audio.tags import Tags


def inspect(
    file: Annotated[Path, typer.Argument(help="A sound file.")],
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw it into this PNG: waveform, spectrum, chroma, loudness."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the picture.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Show how long and loud a file is, and what made it."""
    with reported():
        from fanfare.audio.analysis import true_peak_dbfs
        from fanfare.audio.files import check_target, write_whole
        from fanfare.audio.io import read_audio
        from fanfare.audio.loudness import loudness_lufs, peak_dbfs
        from fanfare.audio.tags import read_tags
        from fanfare.settings import read_settings

        settings = read_settings()
        if plot is not None:
            check_target(plot, overwrite=force)
        recording = read_audio(
            file, field="file", max_s=settings.max_audio_s, max_bytes=settings.max_audio_bytes
        )
        tags = read_tags(file)
        facts = {
            "path": str(file),
            "duration_s": round(recording.duration_s, 3),
            "sample_rate_hz": recording.sample_rate_hz,
            "channels": int(recording.samples.shape[0]),
            "loudness_lufs": finite(loudness_lufs(recording.samples, recording.sample_rate_hz)),
            "peak_dbfs": finite(peak_dbfs(recording.samples)),
            "true_peak_dbfs": finite(true_peak_dbfs(recording.samples)),
            "made_by": asdict(tags) if tags else None,
        }
        if plot is not None:
            from fanfare.audio.pictures import picture_png

            title = (tags.prompt if tags else None) or file.name
            picture = picture_png(
                recording.samples, recording.sample_rate_hz, title, _settings(tags)
            )
            facts["plot"] = str(write_whole(plot, picture, overwrite=force))
        typer.echo(json.dumps(facts, ensure_ascii=False) if as_json else as_lines(facts))


def _settings(tags: Tags | None) -> dict[str, object]:
    """What made a file, for its picture: of the inputs, those that weren't left as they are."""
    if tags is None:
        return {}
    usual = {name: field.default for name, field in Inputs.model_fields.items()}
    told = {
        name: value
        for name, value in tags.inputs.items()
        if name not in {"prompt", "seed", "output_format"} and value != usual.get(name)
    }
    return {"seed": tags.seed, "weights": tags.weights, **told, "Fanfare": tags.version}
