"""fanfare generate."""

from __future__ import annotations

import inspect as introspection
import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fanfare.cli.console import finite, notices, reported
from fanfare.cli.listen import Listener, check_listening, player_listens, stdout_listens
from fanfare.errors import InputError
from fanfare.inputs import MAX_SEED, Inputs
from fanfare.rules import OWN

if TYPE_CHECKING:
    from fanfare.model import Model
    from fanfare.piece import Audio

MAX_COUNT = 100
PIECES_AT_ONCE = 4
"""Pieces of `--count` that are generated together: faster than one by one, saved as they come."""


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
    play: Annotated[
        bool, typer.Option("--play", help="Play the piece while it is made, then keep its file.")
    ] = False,
    to_stdout: Annotated[
        bool,
        typer.Option("--stdout", help="Write it as WAV while it is made: --stdout | ffplay -"),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print results as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print paths only.")] = False,
    weights: Annotated[
        str | None,
        typer.Option(
            help="A name (fanfare models list), hub id, URL, folder or file.",
            show_default="epic-mini",
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, mps.")] = None,
    engine: Annotated[str | None, typer.Option(help="auto, torch, onnxruntime (CPUs).")] = None,
    dtype: Annotated[
        str | None, typer.Option(help="auto, float32, bfloat16, float16, int8, int4.")
    ] = None,
    text_encoder: Annotated[
        str | None, typer.Option(help="T5 in place of the weights' own; as --weights.")
    ] = None,
    codec: Annotated[
        str | None, typer.Option(help="EnCodec in place of the weights' own; as --weights.")
    ] = None,
    diffusion: Annotated[
        str | None, typer.Option(help="For --multi-band-diffusion, such as mbd; as --weights.")
    ] = None,
    **inputs: object,
) -> None:
    """Make music from a prompt, a recording, or both."""
    with reported() as interruption, notices(quiet=quiet) as noticed, ExitStack() as stack:
        from fanfare.settings import read_settings

        settings = read_settings()
        rules = OWN.within(max_duration_s=settings.max_duration_s)
        parsed = Inputs.parse(inputs, rules=rules)
        format_asked = inputs["output_format"] is not None
        check_listening(
            play=play,
            to_stdout=to_stdout,
            as_json=as_json,
            count=count,
            file_format=parsed.output_format if format_asked and output is None else None,
        )
        keeps_file = output is not None or not to_stdout
        targets = []
        if keeps_file:
            targets = _targets(output, count, parsed, format_asked, force)

        name = weights or settings.weights
        with noticed.busy(f"loading {name}"):
            from fanfare.model import load

            model = load(
                name,
                device=device or settings.device,
                engine=engine or settings.engine,
                dtype=dtype or settings.dtype,
                text_encoder=text_encoder,
                codec=codec,
                diffusion=diffusion,
            )
        requests = _requests(parsed, count)
        listener = stack.enter_context(_listening(play=play, to_stdout=to_stdout))
        results = []
        for start in range(0, count, PIECES_AT_ONCE):
            began_s = time.perf_counter()
            some = requests[start : start + PIECES_AT_ONCE]
            pieces = _generated(
                model, some, listener, watched=noticed.is_watched, keeps_file=keeps_file
            )
            elapsed_s = time.perf_counter() - began_s
            factor = sum(piece.duration_s for piece in pieces) / elapsed_s
            for piece, target in zip(pieces, targets[start:], strict=False):
                result = _result(piece, piece.save(target, overwrite=force), factor, model)
                results.append(result)
                if not as_json:
                    _print_result(result, quiet=quiet, to_stderr=to_stdout)
                interruption.check()
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


def _listening(*, play: bool, to_stdout: bool) -> AbstractContextManager[Listener | None]:
    if play:
        return player_listens()
    return stdout_listens() if to_stdout else nullcontext()


def _generated(
    model: Model,
    requests: list[Inputs],
    listener: Listener | None,
    *,
    watched: bool,
    keeps_file: bool,
) -> list[Audio]:
    """Generate, with a progress bar where somebody watches; only as far as it is listened to."""
    from fanfare.chunks import CHUNK_S, Chunk
    from fanfare.predict import Finished, Progress

    pieces: list[Audio] = []
    chunk_s = None if listener is None else CHUNK_S
    with _bar() if watched else nullcontext(lambda step, n_steps: None) as show:
        for event in model.events(requests, chunk_s=chunk_s):
            if isinstance(event, Progress):
                show(event.step, event.n_steps)
            elif isinstance(event, Finished):
                pieces.append(event.audio)
            elif isinstance(event, Chunk) and listener is not None:
                listener.hear(event.samples, event.sample_rate_hz)
                if not keeps_file and (event.is_last or listener.is_gone):
                    break
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


def _result(piece: Audio, path: Path, real_time_factor: float, model: Model) -> dict[str, Any]:
    from fanfare.audio.loudness import loudness_lufs, peak_dbfs

    return {
        "path": str(path),
        "seed": piece.seed,
        "duration_s": round(piece.duration_s, 3),
        "sample_rate_hz": piece.sample_rate_hz,
        "channels": int(piece.samples.shape[0]),
        "real_time_factor": round(real_time_factor, 2),
        "loudness_lufs": finite(loudness_lufs(piece.samples, piece.sample_rate_hz)),
        "peak_dbfs": finite(peak_dbfs(piece.samples)),
        "weights": piece.weights,
        "engine": model.engine.name,
        "inputs": piece.inputs.record(piece.seed),
    }


def _print_result(result: dict[str, Any], *, quiet: bool, to_stderr: bool) -> None:
    typer.echo(result["path"], err=to_stderr)
    if not quiet:
        typer.echo(
            f"  seed {result['seed']} · {result['duration_s']:.1f} s · "
            f"{result['real_time_factor']:.2f}× real time ({result['engine']})",
            err=True,
        )
