"""fanfare again: a piece made anew from what its file says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fanfare.cli.console import notices, reported
from fanfare.errors import AudioFileError, InputError
from fanfare.inputs import Inputs
from fanfare.rules import OWN

if TYPE_CHECKING:
    from fanfare.audio.tags import Tags
    from fanfare.piece import Audio


def again(
    file: Annotated[Path, typer.Argument(help="A file that Fanfare wrote.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="File (.wav, .mp3, .flac, .ogg) or folder to write.",
            show_default="beside FILE",
        ),
    ] = None,
    input_audio: Annotated[
        Path | None,
        typer.Option(help="The recording it was made from.", show_default="that name beside FILE"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the output file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the path only.")] = False,
    weights: Annotated[
        str | None,
        typer.Option(help="As for generate.", show_default="those that FILE names"),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, mps.")] = None,
    engine: Annotated[str | None, typer.Option(help="auto, torch, onnxruntime (CPUs).")] = None,
    dtype: Annotated[
        str | None, typer.Option(help="auto, float32, bfloat16, float16, int8, int4.")
    ] = None,
    diffusion: Annotated[
        str | None, typer.Option(help="For pieces that were made by diffusion; as --weights.")
    ] = None,
) -> None:
    """Make a piece again from the settings in its file: the same bytes where nothing changed."""
    with reported(), notices(quiet=quiet) as noticed:
        from fanfare.audio.files import check_target
        from fanfare.settings import read_settings

        settings = read_settings()
        tags = _tags(file)
        rules = OWN.within(max_duration_s=settings.max_duration_s)
        inputs = Inputs.parse(_values(tags, file, input_audio), rules=rules)
        target = _target(file, output)
        if not target.is_dir():
            check_target(target, overwrite=force or output is None)

        name = weights or tags.weights
        with noticed.busy(f"loading {name}"):
            from fanfare.model import load

            model = load(
                name,
                device=device or settings.device,
                engine=engine or settings.engine,
                dtype=dtype or settings.dtype,
                diffusion=diffusion,
            )
        with noticed.busy("generating"):
            piece = model.generate(inputs)
        path = _saved(piece, file, target, overwrite=force, is_beside=output is None)
        result = {
            "path": str(path),
            "is_same": _is_same(piece, file),
            "differs_in": _differences(tags, piece),
            "seed": piece.seed,
            "weights": piece.weights,
            "engine": model.engine.name,
            "inputs": piece.inputs.record(piece.seed),
        }
        _print(result, as_json=as_json, quiet=quiet)


def _tags(file: Path) -> Tags:
    """What made a file; InputError when it doesn't say."""
    from fanfare.audio.tags import read_tags

    try:
        with file.open("rb"):
            pass
    except OSError as error:
        raise InputError("file", str(file), f"can't be opened: {error.strerror}") from None
    tags = read_tags(file)
    if tags is None:
        hint = "doesn't say what made it: only files that Fanfare wrote, with their tags, do"
        raise InputError("file", str(file), hint)
    return tags


def _values(tags: Tags, file: Path, given: Path | None) -> dict[str, Any]:
    """The inputs as they were; of a recording, tags know no more than its name."""
    values = {**tags.inputs, "seed": tags.seed}
    named = values.get("input_audio")
    if named is None:
        if given is not None:
            raise InputError("input_audio", str(given), f"{file.name} was made without a recording")
        return values
    recording = given or file.parent / Path(str(named)).name
    if not recording.is_file():
        hint = f"{file.name} was made from this recording: give it as --input-audio"
        raise AudioFileError("input_audio", str(given or named), hint)
    return {**values, "input_audio": recording}


def _target(file: Path, output: Path | None) -> Path:
    """Where it goes: by default beside the file, under a name of its own."""
    if output is None:
        return file.with_name(f"{file.stem}-again{_ending(file)}")
    if output.is_dir() or output.suffix:
        return output
    return output.with_suffix(_ending(file))


def _ending(file: Path) -> str:
    """The file's format as an ending, whatever it is called."""
    import soundfile

    kind = soundfile.info(str(file)).format
    return {"MP3": ".mp3", "FLAC": ".flac", "OGG": ".ogg"}.get(kind, ".wav")


def _bits(file: Path) -> int:
    import soundfile

    return 24 if soundfile.info(str(file)).subtype == "PCM_24" else 16


def _saved(piece: Audio, file: Path, target: Path, *, overwrite: bool, is_beside: bool) -> Path:
    from fanfare.audio.files import write_beside
    from fanfare.audio.io import format_of

    if is_beside and not overwrite:
        made = piece.to_bytes(format_of(target), bits=_bits(file))
        return write_beside(target, made)
    return piece.save(target, overwrite=overwrite, bits=_bits(file))


def _is_same(piece: Audio, file: Path) -> bool:
    """Whether it is the file, to the byte."""
    from fanfare.audio.io import format_of

    file_format = format_of(Path(f"x{_ending(file)}"))
    return piece.to_bytes(file_format, bits=_bits(file)) == file.read_bytes()


def _differences(tags: Tags, piece: Audio) -> list[str]:
    """What is known to be otherwise than when the file was made."""
    found = []
    if tags.version != piece.tags.version:
        found.append(f"Fanfare was {tags.version}, and is {piece.tags.version}")
    if tags.weights != piece.weights:
        found.append(f"the weights were {tags.weights}, and are {piece.weights}")
    return found


def _print(result: dict[str, Any], *, as_json: bool, quiet: bool) -> None:
    if as_json:
        typer.echo(json.dumps(result, ensure_ascii=False))
        return
    typer.echo(result["path"])
    if quiet:
        return
    if result["is_same"]:
        typer.echo("  the same bytes", err=True)
        return
    reasons = result["differs_in"] or ["the engine, the device or the weights may be others"]
    typer.echo(f"  not the same bytes: {'; '.join(reasons)}", err=True)
