"""`make eval`: how well epic-mini follows its prompts, seeded and repeatable.

Every prompt is composed, and the score is heard three times: as it is rendered (the
original), as the codec gives the original back (the ceiling), and as the model plays it. Probes
and measures judge all three alike.
"""

from __future__ import annotations

import argparse
import json
import random
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fanfare.epic import measure, probes, trials
from fanfare.epic.attributes import INSTRUMENTS, MODES, MOODS, PITCHED, Attributes
from fanfare.epic.bank import ensure
from fanfare.epic.brief import MIN_FRAMES_PER_BEAT, frames_per_beat
from fanfare.epic.captions import caption
from fanfare.epic.corpus import render_pieces
from fanfare.epic.director import write_score
from fanfare.epic.judges import JUDGES, PROBE_FRAMES, truth_of
from fanfare.epic.player import Player, open_bank
from fanfare.epic.score import Score
from fanfare.epic.understand import understand
from fanfare.model import Model, load

FloatArray = NDArray[np.float32]
Figures = dict[str, float]
DURATION_S = 10
SEED_STEP = 1000
PLUCKED = ("harp", "piano")
"""What codecs lose first."""


@dataclass
class Case:
    """One prompt: what it asks for, its score, and how that sounds."""

    prompt: str
    wanted: Attributes
    seed: int
    score: Score
    wavs: dict[str, FloatArray] = field(default_factory=dict)
    codes: NDArray[np.int64] | None = None


def ask(rng: random.Random) -> Attributes:
    """What an evaluation prompt asks for: always a mood, mostly a tempo, a mode, instruments."""
    key = rng.randrange(12) if rng.random() < 0.5 else None
    names = rng.sample(INSTRUMENTS, rng.choice((1, 2, 2, 3))) if rng.random() < 0.75 else []
    return Attributes(
        bpm=float(rng.randrange(62, 160)) if rng.random() < 0.7 else None,
        key=key,
        mode=rng.choice(MODES) if key is not None or rng.random() < 0.3 else None,
        mood=rng.choice(MOODS),
        intensity=rng.randrange(4) if rng.random() < 0.6 else None,
        form=rng.choice(("steady", "build", "fade")) if rng.random() < 0.25 else None,
        instruments=tuple(names),
        only=bool(names) and all(n in PITCHED for n in names) and rng.random() < 0.2,
    )


def cases(n: int, seed: int) -> list[Case]:
    """The prompts of an evaluation, each with the score that its seed gives."""
    made = []
    for i in range(n):
        rng = random.Random(f"evaluation {seed} {i}")
        wanted = ask(rng)
        prompt = caption(wanted, rng)
        score = write_score(
            understand(prompt), DURATION_S * 50, random.Random(seed * SEED_STEP + i)
        )
        made.append(Case(prompt, wanted, seed * SEED_STEP + i, score))
    return made


def attributes_right(case: Case) -> tuple[int, int]:
    """How many of the prompt's attributes are understood, of how many."""
    got = understand(case.prompt)
    checks = []
    for name in ("key", "mode", "mood", "intensity", "form"):
        value = getattr(case.wanted, name)
        if value is not None:
            checks.append(getattr(got, name) == value)
    if case.wanted.bpm is not None:
        checks.append(got.bpm is not None and abs(got.bpm / case.wanted.bpm - 1) < 0.01)
    checks += [name in got.instruments for name in case.wanted.instruments]
    return sum(checks), len(checks)


def render_all(made: list[Case], player: Player) -> None:
    """The originals."""
    for case in made:
        case.wavs["original"] = player.render(case.score)


def play_all(made: list[Case], model: Model, guidance: int = 3, batch: int = 10) -> float:
    """Codec reconstructions and the model's own pieces; returns seconds of music per second."""
    started = time.perf_counter()
    for first in range(0, len(made), batch):
        group = made[first : first + batch]
        settings = {"duration": DURATION_S, "classifier_free_guidance": guidance}
        requests = [{"prompt": c.prompt, "seed": c.seed, **settings} for c in group]
        for case, audio in zip(group, model.generate_batch(requests), strict=True):
            case.wavs["generated"] = audio.samples[0]
            case.codes = audio.codes
    speed = len(made) * DURATION_S / (time.perf_counter() - started)
    codec = model.bundle.codec
    for case in made:
        wav = torch.from_numpy(case.wavs["original"])[None, None]
        case.wavs["codec"] = codec.decode(codec.encode(wav))[0, 0].numpy()
    return speed


def play_freely(made: list[Case], model: Model) -> list[FloatArray]:
    """As many pieces without any plan: what guidance departs from."""
    settings = {"duration": DURATION_S, "classifier_free_guidance": 0}
    requests = [{"prompt": c.prompt, "seed": c.seed, **settings} for c in made]
    return [audio.samples[0] for audio in model.generate_batch(requests)]


def figures(made: list[Case], kind: str, judge: probes.Probes) -> Figures:
    """All measures of one kind of audio ("original", "codec" or "generated")."""
    wavs = [case.wavs[kind] for case in made]
    truths = [truth_of(case.score) for case in made]
    guesses = judge.hear([probes.features(wav) for wav in wavs])
    pairs = list(zip(guesses, truths, strict=True))
    asked = [
        (guess.tempo, frames_per_beat(case.wanted.bpm) - MIN_FRAMES_PER_BEAT)
        for guess, case in zip(guesses, made, strict=True)
        if case.wanted.bpm is not None
    ]
    others = made[1:] + made[:1]
    chord = [x for c, w in zip(made, wavs, strict=True) for x in measure.chords_right(w, c.score)]
    wrong = [x for c, w in zip(others, wavs, strict=True) for x in measure.chords_right(w, c.score)]
    named = [
        g.instruments[INSTRUMENTS.index(name)]
        for g, c in zip(guesses, made, strict=True)
        for name in c.wanted.instruments
    ]
    alone = [
        not any(
            heard and name not in c.wanted.instruments
            for heard, name in zip(g.instruments, INSTRUMENTS, strict=True)
        )
        for g, c in zip(guesses, made, strict=True)
        if c.wanted.only
    ]
    return {
        "tempo": mean(probes.tempo_agrees(g.tempo, t.tempo) for g, t in pairs),
        "tempo asked": mean(probes.tempo_agrees(a, b) for a, b in asked),
        "key": mean(g.key % 12 == t.key % 12 for g, t in pairs),
        "mode": mean(g.key // 12 == t.key // 12 for g, t in pairs),
        "intensity": mean(g.intensity == t.intensity for g, t in pairs),
        "intensity within 1": mean(abs(g.intensity - t.intensity) <= 1 for g, t in pairs),
        "mood": mean(g.mood == t.mood for g, t in pairs),
        "instruments named": mean(named),
        "nobody else, where asked for": mean(alone),
        **{f"{name}, where it plays": mean(recognised(pairs, name)) for name in PLUCKED},
        "chord": mean(chord),
        "chord, other plan": mean(wrong),
        "onsets": mean(
            measure.onset_agreement(w, c.score) for c, w in zip(made, wavs, strict=True)
        ),
        "onsets, other plan": mean(
            measure.onset_agreement(w, c.score) for c, w in zip(others, wavs, strict=True)
        ),
    }


def recognised(pairs: Sequence[tuple[probes.Truth, probes.Truth]], name: str) -> list[int]:
    """Of pieces in which an instrument plays: whether it is heard."""
    at = INSTRUMENTS.index(name)
    return [guess.instruments[at] for guess, truth in pairs if truth.instruments[at]]


def mean(values: object) -> float:
    """The mean of numbers or truths; NaN of none."""
    numbers = [float(v) for v in values]  # type: ignore[attr-defined]
    return float(np.mean(numbers)) if numbers else float("nan")


def over_seeds(made: list[Case], kind: str, judge: probes.Probes) -> tuple[Figures, Figures]:
    """Means over the seeds of what `figures` finds for each, and their standard deviations."""
    groups: dict[int, list[Case]] = {}
    for case in made:
        groups.setdefault(case.seed // SEED_STEP, []).append(case)
    each = [figures(group, kind, judge) for group in groups.values()]
    with warnings.catch_warnings():  # some seed may ask for nothing of a kind
        warnings.simplefilter("ignore", RuntimeWarning)
        means = {name: float(np.nanmean([one[name] for one in each])) for name in each[0]}
        spreads = {name: float(np.nanstd([one[name] for one in each])) for name in each[0]}
    return means, spreads


def summary(made: list[Case], judge: probes.Probes, rows: list[FloatArray]) -> dict[str, object]:
    """All figures of an evaluation; `rows` are the held-out renders' colours."""
    kinds = ("original", "codec", "generated")
    judged = {kind: over_seeds(made, kind, judge) for kind in kinds}
    right = [attributes_right(case) for case in made]
    found = [
        (case.seed, fault)
        for case in made
        if case.codes is not None
        for fault in measure.faults(case.wavs["generated"], case.codes, case.score)
    ]
    return {
        "prompts": len(made),
        "attributes understood": sum(a for a, _ in right) / sum(b for _, b in right),
        "faults": found,
        "repetition": mean(measure.repetition(c.codes) for c in made if c.codes is not None),
        "codec SI-SDR dB": mean(
            measure.si_sdr_db(c.wavs["codec"], c.wavs["original"]) for c in made
        ),
        "codec log-mel L1": mean(
            trials.log_mel_l1(c.wavs["codec"], c.wavs["original"]) for c in made
        ),
        **{
            f"frechet {kind}": measure.frechet(
                [measure.colour_rows(c.wavs[kind]) for c in made], rows
            )
            for kind in kinds
        },
        **{kind: means for kind, (means, _) in judged.items()},
        **{f"{kind} spread": spreads for kind, (_, spreads) in judged.items()},
    }


def beyond(
    made: list[Case],
    model: Model,
    player: Player,
    rows: list[FloatArray],
    n_trials: int,
    n_training: int,
) -> dict[str, object]:
    """Figures of what isn't a prompt's piece: see `trials`.

    `rows` are the held-out renders' colours.
    """
    group = made[:n_trials]
    prompts, sounds = [c.prompt for c in group], [c.wavs["original"] for c in group]
    found: dict[str, object] = dict(trials.trials(model, prompts, sounds, prompts[:3]))
    found["bar lines of renders under the 95th percentile"] = mean(
        trials.seam(c.wavs["original"], frame) <= trials.HEARD for c in group for frame in bars(c)
    )
    free = play_freely(group, model)
    found["frechet without a plan"] = measure.frechet([measure.colour_rows(w) for w in free], rows)
    taught = [wav for _, _, wav in render_pieces(0, n_training, PROBE_FRAMES, player)]
    found |= trials.memory(
        [c.codes for c in made if c.codes is not None],
        trials.encoded(model, sounds),
        trials.encoded(model, taught),
    )
    return found


def bars(case: Case) -> range:
    """The frames of bar lines inside a piece: continuations are joined at one."""
    bar = case.score.brief.frames_per_bar
    return range(bar, case.score.n_frames - trials.SEAM_FRAMES, bar)


def table(result: dict[str, object]) -> str:
    """The figures as a Markdown table."""
    kinds = ("original", "codec", "generated")
    columns = [(result[kind], result[f"{kind} spread"]) for kind in kinds]
    lines = ["| measure | original | codec | generated |", "|---|---|---|---|"]
    first = result[kinds[0]]
    assert isinstance(first, dict)
    for name in first:
        cells = [
            f"{means[name]:.2f} ± {spreads[name]:.2f}"
            for means, spreads in columns
            if isinstance(means, dict) and isinstance(spreads, dict)
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    distances = " | ".join(f"{result[f'frechet {kind}']:.2f}" for kind in kinds)
    lines.append(f"| Fréchet distance to held-out renders | {distances} |")
    return "\n".join(lines)


def pictures(made: list[Case], folder: Path) -> None:
    """Mel spectrograms of a few cases, the three kinds above one another."""
    from fanfare.epic.pictures import compare

    folder.mkdir(parents=True, exist_ok=True)
    for case in made[:4]:
        compare(case.wavs, case.prompt, folder / f"eval-{case.seed}.png")


def main() -> None:
    """Evaluates the built-in model (or `--weights`)."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--prompts", type=int, default=50, help="of each seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(1, 9)))
    parser.add_argument("--weights", default="epic-mini")
    parser.add_argument("--pictures", type=Path, default=Path("out/eval"))
    parser.add_argument("--guidance", type=int, default=3)
    parser.add_argument("--judges", type=Path, default=JUDGES, help="made by `make judges`")
    parser.add_argument("--trials", type=int, default=12, help="continuations, melodies")
    parser.add_argument("--training-pieces", type=int, default=150, help="compared for memory")
    parser.add_argument("--bank", type=Path, default=Path("runs/epic.bank"))
    options = parser.parse_args()
    if not options.judges.is_file():
        parser.error(f"--judges: there is no {options.judges}; `make judges` makes it")
    judge = probes.Probes.load(options.judges)
    model = load(options.weights)
    bank = ensure(options.bank)
    player = Player(open_bank(bank))
    made = [case for seed in options.seeds for case in cases(options.prompts, seed)]
    render_all(made, player)
    speed = play_all(made, model, options.guidance)
    heldout = [w for _, _, w in render_pieces(30_000_000, 30_000_060, PROBE_FRAMES, player)]
    rows = [measure.colour_rows(wav) for wav in heldout]
    result = summary(made, judge, rows)
    if options.trials:
        result |= beyond(made, model, player, rows, options.trials, options.training_pieces)
    result["music seconds per second, batch of 10"] = round(speed, 2)
    pictures(made, options.pictures)
    print(table(result))
    rest = {k: v for k, v in result.items() if not isinstance(v, dict)}
    for name, value in rest.items():
        print(f"{name}: {value:.3f}" if isinstance(value, float) else f"{name}: {value}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
