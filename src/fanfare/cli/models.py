"""fanfare models: which weights there are, what they are, and where they go."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fanfare.cli.console import EXIT_FAILURE, as_lines, notices, reported

if TYPE_CHECKING:
    from fanfare.weights.describe import Facts

models = typer.Typer(
    name="models",
    help="Fetch, look at, convert and check weights.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Argument(help="A name, hub id, URL, folder or file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
TextEncoder = Annotated[str | None, typer.Option(help="T5 in place of the weights' own.")]
Codec = Annotated[str | None, typer.Option(help="EnCodec in place of the weights' own.")]
Diffusion = Annotated[str | None, typer.Option(help="Multi-Band Diffusion, such as mbd.")]
Dtype = Literal["float32", "float16", "bfloat16"]


@models.command("list")
def list_models(as_json: AsJson = False) -> None:
    """Show the names that are known, and what is on this machine."""
    with reported():
        from fanfare.weights.caches import cached_models
        from fanfare.weights.known import BY_HUB_ID, BY_NAME
        from fanfare.weights.registry import BUILTIN, builtin
        from fanfare.weights.units import shown_bytes

        cached = cached_models()
        sizes = {model.name: model.size_bytes for model in cached}
        inside = {name: _size(BUILTIN / name) for name in builtin()}
        if as_json:
            facts = {
                "builtin": [{"name": name, "size_bytes": size} for name, size in inside.items()],
                "published": [
                    {**asdict(known), "size_bytes": sizes.get(known.hub_id)}
                    for known in BY_NAME.values()
                ],
                "cached": [{**asdict(model), "path": str(model.path)} for model in cached],
            }
            typer.echo(json.dumps(facts))
            return
        lines = [_row(name, shown_bytes(size), "built in") for name, size in inside.items()]
        for known in BY_NAME.values():
            size = sizes.get(known.hub_id)
            what = f"{known.hub_id}, {known.licence}"
            lines.append(_row(known.name, "not here" if size is None else shown_bytes(size), what))
        for model in cached:
            if model.name not in BY_HUB_ID:
                whole = bool(model.revisions or model.sha256)
                what = str(model.path) if whole else "not whole yet"
                lines.append(_row(model.name, shown_bytes(model.size_bytes), what))
        typer.echo("\n".join(lines))


def _row(name: str, size: str, what: str) -> str:
    return f"{name:<22}{size:>9}  {what}"


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@models.command()
def pull(name: Name, as_json: AsJson = False) -> None:
    """Fetch weights, and all that they need, for use without a network."""
    with reported(), notices() as noticed:
        from fanfare.weights.registry import find

        with noticed.busy(f"fetching {name}"):
            path = find(name, newest=True)
            from fanfare.weights.describe import describe

            parts = {
                kind: str(find(part.source, newest=True))
                for kind, part in describe(path).parts.items()
                if part.is_elsewhere
            }
        facts = {"name": name, "path": str(path), "parts": parts}
        typer.echo(json.dumps(facts) if as_json else str(path))


@models.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show what a model is and takes; published ones need not be fetched for it."""
    with reported():
        from fanfare.weights.describe import describe
        from fanfare.weights.memory import memory_bytes

        facts = describe(name)
        memory = {} if facts.config is None else memory_bytes(facts)
        if as_json:
            values = asdict(facts) | {"memory_bytes": memory}
            values["path"] = None if facts.path is None else str(facts.path)
            typer.echo(json.dumps(values))
        else:
            typer.echo(as_lines(_shown(facts, memory)))


def _shown(facts: Facts, memory: dict[str, int]) -> dict[str, Any]:
    """Facts as lines for people."""
    from fanfare.weights.units import shown_bytes, shown_count

    lines: dict[str, Any] = {
        "name": facts.name,
        "path": facts.path or "not on this machine",
        "layout": facts.layout,
        "licence": facts.licence or "not stated",
    }
    config = facts.config
    if config is not None:
        takes = [
            f"text ({config.text_fusion})" if config.text_fusion else None,
            "melody" if config.n_chroma else None,
            "plan" if config.plan_features else None,
        ]
        lines |= {
            "language model": f"{shown_count(facts.n_parameters or 0)} parameters: width"
            f" {config.dim}, {config.n_layers} layers, {config.n_heads} heads",
            "weights on disk": ", ".join(facts.dtypes) or None,
            "conditions": ", ".join(take for take in takes if take),
            "codebooks": f"{config.n_codebooks} of {config.card} codes,"
            f" delays {' '.join(map(str, config.delays))}",
            "sound": f"{'stereo' if config.channels == 2 else 'mono'}, {config.sample_rate_hz} Hz",
            "longest piece at once": f"{config.max_duration_s:g} s",
        }
    for kind, part in facts.parts.items():
        count = (
            "" if part.n_parameters is None else f", {shown_count(part.n_parameters)} parameters"
        )
        lines[kind] = f"{part.source}{count}"
    lines["memory, about"] = ", ".join(
        f"{name} {shown_bytes(size)}" for name, size in memory.items()
    )
    lines["files"] = {file.name: shown_bytes(file.size_bytes) for file in facts.files}
    return {name: line for name, line in lines.items() if line}


@models.command()
def convert(
    source: Name,
    dest: Annotated[Path, typer.Argument(help="The folder to write.")],
    name: Annotated[str | None, typer.Option(help="What to call it.")] = None,
    dtype: Annotated[
        Dtype | None,
        typer.Option(
            help="Of the language model on disk.", show_default="the smallest that loses nothing"
        ),
    ] = None,
    without_text_encoder: Annotated[
        bool,
        typer.Option("--without-text-encoder", help="Leave it out; loading then needs one."),
    ] = False,
    text_encoder: TextEncoder = None,
    codec: Codec = None,
    diffusion: Diffusion = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a model that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a model of any layout as safetensors, complete in one folder."""
    with reported(), notices() as noticed:
        with noticed.busy(f"converting {source}"):
            from fanfare.weights.convert import convert as convert_model
            from fanfare.weights.describe import describe

            folder = convert_model(
                source,
                dest,
                name=name,
                dtype=dtype,
                with_text_encoder=not without_text_encoder,
                text_encoder=text_encoder,
                codec=codec,
                diffusion=diffusion,
                force=force,
            )
            facts = describe(folder)
        size = sum(file.size_bytes for file in facts.files)
        report = {"path": str(folder), "size_bytes": size, "dtypes": facts.dtypes}
        typer.echo(json.dumps(report) if as_json else str(folder))


@models.command()
def verify(
    name: Name,
    dtype: Annotated[Dtype, typer.Option(help="Of the language model.")] = "float32",
    text_encoder: TextEncoder = None,
    codec: Codec = None,
    diffusion: Diffusion = None,
    sha256: Annotated[bool, typer.Option("--sha256", help="Hash the files, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Load a model on the CPU, look at every weight, and make a little sound."""
    with reported(), notices() as noticed:
        with noticed.busy(f"verifying {name}"):
            from fanfare.weights.convert import DTYPES
            from fanfare.weights.load import load_bundle
            from fanfare.weights.registry import find
            from fanfare.weights.verify import hashes, try_out

            began_s = time.perf_counter()
            bundle = load_bundle(
                name,
                text_encoder=text_encoder,
                codec=codec,
                diffusion=diffusion,
                dtype=DTYPES[dtype],
            )
            load_s = time.perf_counter() - began_s
            verdict = try_out(bundle)
            hashed = list(hashes(find(name))) if sha256 else []
        problems = [
            *verdict.problems,
            *(f"{file.name}: not what was fetched" for file in hashed if file.is_right is False),
        ]
        facts = {
            "name": bundle.name,
            "ok": not problems,
            "load_s": round(load_s, 2),
            "run_s": round(verdict.run_s, 2),
            "parameters": verdict.n_parameters,
            "sha256": {file.name: file.sha256 for file in hashed},
        }
        if as_json:
            typer.echo(json.dumps(facts | {"problems": problems}))
        else:
            typer.echo(as_lines({key: value for key, value in facts.items() if value != {}}))
            for problem in problems:
                typer.echo(f"error: {problem}", err=True)
        if problems:
            raise typer.Exit(EXIT_FAILURE)


@models.command()
def remove(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove weights from the caches; never a folder or file of your own."""
    with reported():
        from fanfare.weights.caches import removable
        from fanfare.weights.caches import remove as remove_cached
        from fanfare.weights.units import shown_bytes

        cached = removable(name)
        size = shown_bytes(cached.size_bytes)
        if not yes and not typer.confirm(f"remove {cached.name} ({size})?", err=True):
            raise typer.Exit(EXIT_FAILURE)
        freed = remove_cached(cached)
        report = {"name": cached.name, "freed_bytes": freed}
        typer.echo(json.dumps(report) if as_json else f"{cached.name}: {shown_bytes(freed)} freed")
