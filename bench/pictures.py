"""What was measured as small pictures (PNG), from the facts of a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

Facts = dict[str, Any]

BLUE, ORANGE, GREY = "#2b6cb0", "#dd6b20", "#a0aec0"
DPI = 100
REAL_TIME = 50
"""Steps that make a second of music."""


def growth(facts: Facts, path: Path) -> None:
    """Time per second of music and memory against the length of a piece."""
    axes, save = _axes(facts, "longer pieces", n=2)
    for ax, unit, colour, label in (
        (axes[0], "ms/s", BLUE, "ms per second of music"),
        (axes[1], "MB", ORANGE, "peak memory, MB"),
    ):
        rows = [row for row in facts["rows"] if row["unit"] == unit and "duration_s" in row]
        x, y = [row["duration_s"] for row in rows], [row["median"] for row in rows]
        ax.fill_between(
            x, [row["low"] for row in rows], [row["high"] for row in rows],
            color=colour, alpha=0.2, linewidth=0,
        )  # fmt: skip
        ax.plot(x, y, "o-", color=colour)
        ax.set_xscale("log")
        ax.set_xticks(x, [f"{value:g}" for value in x])
        ax.minorticks_off()
        ax.set_ylim(0, 1.1 * max(row["high"] for row in rows))
        ax.set_xlabel("length, s")
        ax.set_ylabel(label)
    save(path)


def throughput(facts: Facts, path: Path) -> None:
    """Steps a second of all pieces together, with their limit."""
    (ax,), save = _axes(facts, "pieces at once")
    rows = [row for row in facts["rows"] if row["unit"] == "steps/s"]
    x = [row["pieces"] for row in rows]
    ax.plot(x, [row["median"] for row in rows], "o-", color=BLUE, label="measured")
    ax.plot(x, [row["limit"] for row in rows], "--", color=GREY, label="limit")
    ax.set_xlabel("pieces at once")
    ax.set_ylabel("steps a second, all together")
    ax.set_xticks(x)
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False)
    save(path)


def peers(facts: Facts, path: Path) -> None:
    """Steps a second as bars, ours and theirs."""
    (ax,), save = _axes(facts, "steps of the language model")
    rows = [row for row in facts["rows"] if row["unit"] == "steps/s"][::-1]
    names = [row["name"].removesuffix(", steps") for row in rows]
    colours = [BLUE if name.startswith("fanfare") else ORANGE for name in names]
    bars = ax.barh(names, [row["median"] for row in rows], color=colours)
    ax.bar_label(bars, fmt="%.1f", padding=3)
    ax.axvline(REAL_TIME, color=GREY, linestyle="--", linewidth=1)
    ax.set_xlabel(f"steps a second ({REAL_TIME} = real time)")
    ax.margins(x=0.12)
    save(path)


def _axes(facts: Facts, title: str, n: int = 1) -> tuple[list[Any], Any]:
    """Empty axes side by side, and what writes them to a file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6 * (n + 1), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    said = [facts["weights"], facts.get("ran"), title]
    figure.suptitle(", ".join(word for word in said if word), fontsize=11)
    axes = [figure.add_subplot(1, n, i + 1) for i in range(n)]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)

    def save(path: Path) -> None:
        figure.savefig(path, dpi=DPI)

    return axes, save
