"""The command line. Prints and exit codes live here only: 0, 2 for bad input, 1 for a failure.

Results go to standard output, all else to standard error. Whatever takes long to import is
imported by the command that needs it, so that `--help` answers at once.
"""

from __future__ import annotations

import inspect as introspection
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fanfare.errors import FanfareError, InputError
from fanfare.inputs import MAX_SEED, Inputs

if TYPE_CHECKING:
    from fanfare.model import Model
    from fanfare.piece import Audio

app = typer.Typer(
    name="fanfare",
    help="Epic music from a prompt, on your own machine.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)

EXIT_FAILURE, EXIT_BAD_INPUT, EXIT_INTERRUPTED = 1, 2, 130
MAX_COUNT = 100
PIECES_AT_ONCE = 4
"""Pieces of `--count` that are generated together: faster than one by one, saved as they come."""


def main() -> None:
    """The `fanfare` command."""
    app()


def _with_input_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one flag per field of Inputs in place of its `**inputs`."""
    own = [
        parameter
        for parameter in introspection.signature(command, eval_str=True).parameters.values()
        if parameter.kind is not parameter.VAR_KEYWORD
    ]
    flags = [_flag(name) for name in Inputs.model_fields]
    signature = introspection.Signature([*flags, *own])
    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__annotations__ = {flag.name: flag.annotation for flag in signature.parameters.values()}
    return command


def _flag(name: str) -> introspection.Parameter:
    """The command-line flag of a field; prompt is the argument."""
    field = Inputs.model_fields[name]
    rule = Inputs.json_schema()["properties"][name]
    kind: Any = {"integer": int, "number": float, "boolean": bool, "string": str}[rule["type"]]
    if "enum" in rule:
        kind = Literal[tuple(rule["enum"])]
    info = (
        typer.Argument(help=field.description)
        if name == "prompt"
        else typer.Option(help=field.description, show_default=str(rule.get("default", "none")))
    )
    return introspection.Parameter(
        name,
        introspection.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, info],
    )


@contextmanager
def _reported() -> Iterator[None]:
    """Errors as one line on standard error and an exit code."""
    try:
        yield
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_BAD_INPUT) from None
    except FanfareError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(EXIT_FAILURE) from None
    except KeyboardInterrupt:
        typer.echo("stopped", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _print_version(wanted: bool) -> None:
    if wanted:
        from fanfare.version import fanfare_version

        typer.echo(f"fanfare {fanfare_version()}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Which one.")
    ] = False,
) -> None:
    """Epic music from a prompt, on your own machine."""


@app.command()
@_with_input_flags
def generate(
    *,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File (.wav, .mp3, .flac, .ogg) or folder to write."),
    ] = None,
    count: Annotated[
        int, typer.Option(min=1, max=MAX_COUNT, help="Pieces to make, seeds counting up.")
    ] = 1,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the output file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print paths only.")] = False,
    weights: Annotated[
        str | None,
        typer.Option(help="A built-in name, folder or hub id.", show_default="epic-mini"),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, mps.")] = None,
    engine: Annotated[str | None, typer.Option(help="auto, torch.")] = None,
    dtype: Annotated[str | None, typer.Option(help="auto, float32, bfloat16, float16.")] = None,
    text_encoder: Annotated[
        str | None, typer.Option(help="Text encoder, where the weights come without.")
    ] = None,
    codec: Annotated[
        str | None, typer.Option(help="Audio codec, where the weights come without.")
    ] = None,
    **inputs: object,
) -> None:
    """Make music from a prompt, a recording, or both."""
    with _reported():
        from fanfare.settings import read_settings

        settings = read_settings()
        parsed = Inputs.parse(inputs, max_duration_s=settings.max_duration_s)
        targets = _targets(output, count, parsed, inputs["output_format"] is not None, force)

        name = weights or settings.weights
        with _loading(name, quiet=quiet):
            from fanfare.model import load

            model = load(
                name,
                device=device or settings.device,
                engine=engine or settings.engine,
                dtype=dtype or settings.dtype,
                text_encoder=text_encoder,
                codec=codec,
            )
        requests = _requests(parsed, count)
        results = []
        for start in range(0, count, PIECES_AT_ONCE):
            began_s = time.perf_counter()
            some = requests[start : start + PIECES_AT_ONCE]
            pieces = _generated(model, some, quiet=quiet)
            elapsed_s = time.perf_counter() - began_s
            factor = sum(piece.duration_s for piece in pieces) / elapsed_s
            for piece, target in zip(pieces, targets[start:], strict=False):
                result = _result(piece, piece.save(target, overwrite=force), factor)
                results.append(result)
                if not as_json:
                    _print_result(result, quiet=quiet)
        if as_json:
            typer.echo(json.dumps(results if count > 1 else results[0], ensure_ascii=False))


def _targets(
    output: Path | None, count: int, inputs: Inputs, format_asked: bool, force: bool
) -> list[Path]:
    """Where the pieces go; InputError before any work if a file can't be had there."""
    from fanfare.audio.files import check_target
    from fanfare.audio.io import format_of

    if output is None or output.is_dir():
        folder = output or Path()
        check_target(folder / "fanfare", overwrite=True)
        return [folder] * count
    if not output.suffix:
        output = output.with_suffix(f".{inputs.output_format}")
    if format_asked and format_of(output) != inputs.output_format:
        hint = f"contradicts the ending of {output.name}: leave one of them out"
        raise InputError("output_format", inputs.output_format, hint)
    format_of(output)
    numbered = [output.with_name(f"{output.stem}-{i + 1}{output.suffix}") for i in range(count)]
    targets = [output] if count == 1 else numbered
    for target in targets:
        check_target(target, overwrite=force)
    return targets


def _requests(inputs: Inputs, count: int) -> list[Inputs]:
    """The request `count` times; a seed that was given counts up."""
    if inputs.seed is None or inputs.seed < 0:
        return [inputs] * count
    seeds = [(inputs.seed + i) % (MAX_SEED + 1) for i in range(count)]
    return [inputs.model_copy(update={"seed": seed}) for seed in seeds]


def _is_watched(quiet: bool) -> bool:
    """Whether somebody looks at standard error while the command runs."""
    return sys.stderr.isatty() and not quiet


@contextmanager
def _loading(name: str, *, quiet: bool) -> Iterator[None]:
    """A sign of life while libraries and weights are loaded."""
    if not _is_watched(quiet):
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(f"loading {name}"):
        yield


def _generated(model: Model, requests: list[Inputs], *, quiet: bool) -> list[Audio]:
    """Generate, with a progress bar where somebody watches."""
    from fanfare.predict import Finished, Progress

    pieces: list[Audio] = []
    with _bar() if _is_watched(quiet) else nullcontext(lambda step, n_steps: None) as show:
        for event in model.events(requests):
            if isinstance(event, Progress):
                show(event.step, event.n_steps)
            elif isinstance(event, Finished):
                pieces.append(event.audio)
    return pieces


@contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """A progress bar with the time left, as a function of step and number of steps."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("generating"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("generating", total=None)
        yield lambda step, n_steps: bar.update(task, completed=step, total=n_steps)


def _result(piece: Audio, path: Path, real_time_factor: float) -> dict[str, Any]:
    from fanfare.audio.loudness import loudness_lufs, peak_dbfs

    return {
        "path": str(path),
        "seed": piece.seed,
        "duration_s": round(piece.duration_s, 3),
        "sample_rate_hz": piece.sample_rate_hz,
        "channels": int(piece.samples.shape[0]),
        "real_time_factor": round(real_time_factor, 2),
        "loudness_lufs": _finite(loudness_lufs(piece.samples, piece.sample_rate_hz)),
        "peak_dbfs": _finite(peak_dbfs(piece.samples)),
        "weights": piece.weights,
        "inputs": piece.inputs.record(piece.seed),
    }


def _print_result(result: dict[str, Any], *, quiet: bool) -> None:
    typer.echo(result["path"])
    if not quiet:
        typer.echo(
            f"  seed {result['seed']} · {result['duration_s']:.1f} s · "
            f"{result['real_time_factor']:.2f}× real time",
            err=True,
        )


def _finite(level: float) -> float | None:
    """A level for JSON, which knows no infinity."""
    return round(level, 2) if math.isfinite(level) else None


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="A sound file.")],
    plot: Annotated[
        Path | None, typer.Option(help="Draw waveform, spectrogram and loudness into this PNG.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the picture.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Show how long and loud a file is, and what made it."""
    with _reported():
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
            "loudness_lufs": _finite(loudness_lufs(recording.samples, recording.sample_rate_hz)),
            "peak_dbfs": _finite(peak_dbfs(recording.samples)),
            "made_by": asdict(tags) if tags else None,
        }
        if plot is not None:
            from fanfare.audio.plot import plot_png

            title = (tags.prompt if tags else None) or file.name
            picture = plot_png(recording.samples, recording.sample_rate_hz, title)
            facts["plot"] = str(write_whole(plot, picture, overwrite=force))
        typer.echo(json.dumps(facts, ensure_ascii=False) if as_json else _as_lines(facts))


def _as_lines(facts: dict[str, Any]) -> str:
    """Facts as aligned lines; nested facts are indented."""
    lines = []
    for name, value in facts.items():
        if isinstance(value, dict):
            inner = _as_lines(value).replace("\n", "\n  ")
            lines.append(f"{name}\n  {inner}")
        elif value is not None:
            lines.append(f"{name:<26}{value}")
    return "\n".join(lines)


@app.command()
def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Show which engines, devices, codecs and models are at hand; exit code 1 if one is missing."""
    with _reported():
        from fanfare.doctor import examine

        findings = examine()
        if as_json:
            typer.echo(json.dumps([asdict(finding) for finding in findings]))
        else:
            for finding in findings:
                mark = "ok     " if finding.ok else "MISSING"
                typer.echo(f"{mark} {finding.name:<14}{finding.value}")
        if not all(finding.ok for finding in findings):
            raise typer.Exit(EXIT_FAILURE)


if __name__ == "__main__":
    main()
