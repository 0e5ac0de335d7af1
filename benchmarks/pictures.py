"""The pictures, as SVG that follows the reader's preference for light or dark colours."""

# pyright: reportUnknownMemberType=false, reportUnknownLambdaType=false, reportUnknownArgumentType=false
# matplotlib leaves the types of some parameters open.

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

# Figures are drawn in these placeholder colours; in the file each becomes a variable with two values.
INK, SOFT, GRID, OURS, OTHER, REFUSED = "#010101", "#010102", "#010103", "#010104", "#010105", "#010106"
COLOURS = {
    INK: ("ink", "#1f2328", "#e6edf3"),
    SOFT: ("soft", "#59636e", "#9198a1"),
    GRID: ("grid", "#d1d9e0", "#3d444d"),
    OURS: ("ours", "#0969da", "#58a6ff"),
    OTHER: ("other", "#9a6700", "#d29922"),
    REFUSED: ("refused", "#cf222e", "#ff7b72"),
}
_LIGHT = "".join(f"--{name}:{light};" for name, light, _ in COLOURS.values())
_DARK = "".join(f"--{name}:{dark};" for name, _, dark in COLOURS.values())
_STYLE = (
    f"<style>:root{{{_LIGHT}}}@media (prefers-color-scheme:dark){{:root{{{_DARK}}}}}"
    "text{font-family:system-ui,sans-serif}</style>"
)
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "aionorth",
    "font.size": 9,
    "axes.edgecolor": GRID,
    "axes.labelcolor": SOFT,
    "axes.titlesize": 9,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "text.color": INK,
    "legend.frameon": False,
}
_DATES = {"Date": None, "Creator": None}


def _svg(figure: Figure) -> str:
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata=_DATES)
    svg = file.getvalue()
    for drawn, (name, _, _) in COLOURS.items():
        svg = svg.replace(drawn, f"var(--{name})")
    # Rounding to a tenth of a point and removing space between tags halves the file.
    svg = re.sub(r'(?<= d=")[^"]+', lambda path: re.sub(r"\.(\d)\d+", r".\1", path[0]).replace("\n", ""), svg)
    svg = re.sub(r">\s+<", "><", re.sub(r"(\.\d\d)\d+", r"\1", svg))
    return re.sub(r"(<svg [^>]*>)", lambda tag: tag[0] + _STYLE, svg, count=1)


@attrs.frozen
class Schedule:
    """A run as it is drawn: when calls were accepted, when refused, and when it ended (infinite: it was given up)."""

    accepted: Sequence[float]
    refused: Sequence[float]
    seconds: float


COLUMNS = 5
POINTS = 250
"""Points of a curve; more are not visible."""


def schedules(runs: Mapping[str, Schedule], *, at_once: int, period: float, calls: int) -> str:
    """Draw a panel for each client: calls accepted so far, the fastest schedule, and when calls were refused.

    The fastest schedule is that of `at_once` calls at the start of each period.
    """
    bound = (calls - 1) // at_once * period
    with mpl.rc_context(_SETTINGS):
        rows = -(-len(runs) // COLUMNS)
        figure = Figure(figsize=(11, 1.9 * rows + 0.4), layout="constrained")
        panels = figure.subplots(rows, COLUMNS, sharex=True, sharey=True, squeeze=False).flatten()
        longest = 2 * bound
        for number, (axes, (name, run)) in enumerate(zip(panels, runs.items(), strict=False)):
            steps = [period * step / 60 for step in range(-(-calls // at_once))]
            heights = [min(calls, at_once * (step + 1)) for step in range(len(steps))]
            axes.step([0, *steps], [0, *heights], where="post", color=SOFT, linewidth=0.8, linestyle=(0, (3, 2)))
            _rug(axes, run.refused, longest)
            every = max(1, len(run.accepted) // POINTS)
            times = [*run.accepted[::every], *run.accepted[-1:]]
            counts = [*range(1, len(run.accepted) + 1, every), len(run.accepted)]
            colour = OURS if number == 0 else OTHER
            axes.plot([time / 60 for time in times], counts, color=colour, linewidth=1.8)
            axes.set_title(name, loc="left", fontweight="bold" if number == 0 else "normal")
            done = f"{run.seconds:,.0f} s" if run.seconds != float("inf") else "given up"
            axes.text(0.98, 0.22, done, transform=axes.transAxes, ha="right")
            refused = f"{len(run.refused):,} refused"
            axes.text(0.98, 0.09, refused, transform=axes.transAxes, ha="right", color=REFUSED if run.refused else SOFT)
        for axes in panels[len(runs) :]:
            axes.set_visible(False)
        panels[0].set_xlim(0, longest / 60)
        panels[0].set_ylim(0, calls * 1.04)
        figure.supxlabel("minutes; dashed: the fastest schedule that never exceeds the threshold", color=SOFT, size=9)
        figure.supylabel("calls accepted", color=SOFT, size=9)
        return _svg(figure)


def _rug(axes: Axes, moments: Sequence[float], longest: float) -> None:
    """Draw a tick on the x axis for each moment at which calls were refused."""
    seen = sorted({round(400 * moment / longest) for moment in moments if moment <= longest})
    at = [place / 400 * longest / 60 for place in seen]
    foot = axes.get_xaxis_transform()
    axes.plot(
        [x for place in at for x in (place, place, float("nan"))],
        [y for _ in at for y in (0, 0.06, float("nan"))],
        color=REFUSED,
        linewidth=1,
        transform=foot,
    )


MARKERS = "*osD^vPX<>pd"


def trade_off(cells: Mapping[str, Mapping[str, Mapping[str, tuple[float, float]]]], *, ours: str) -> str:
    """Draw a panel for each case and way of counting: each client's multiple of the bound, and its refusals in 1,000.

    A client to the left of `ours` and not above it is better.
    """
    with mpl.rc_context(_SETTINGS):
        models = list(next(iter(cells.values())))
        figure = Figure(figsize=(2.2 * len(models), 2.2 * len(cells) + 0.7), layout="constrained")
        panels = figure.subplots(len(cells), len(models), sharex=True, sharey=True, squeeze=False)
        for number, (row, (case, of_case)) in enumerate(zip(panels, cells.items(), strict=True)):
            row[0].set_ylabel(f"{case}\n\nrefused of 1,000")
            for axes, (model, clients) in zip(row, of_case.items(), strict=True):
                if not number:
                    axes.set_title(model, loc="left")
                x, y = clients[ours]
                axes.axvline(x, color=OURS, linewidth=0.6)
                axes.axhline(y, color=OURS, linewidth=0.6)
                for marker, (name, (multiple, refused)) in zip(MARKERS, clients.items(), strict=False):
                    axes.plot(
                        [min(multiple, SLOWEST)],
                        [refused],
                        linestyle="none",
                        marker=marker,
                        label=name,
                        color=OURS if name == ours else OTHER,
                        markersize=11 if name == ours else 5,
                        markerfacecolor=OURS if name == ours else "none",
                        clip_on=False,
                        zorder=3 if name == ours else 2,
                    )
        axes = panels[0][0]
        axes.set_xlim(0.6, SLOWEST)
        axes.set_yscale("symlog", linthresh=1, linscale=0.4)
        axes.set_ylim(0, 1000)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panels[-1][len(models) // 2].set_xlabel(f"multiple of the lower bound ({SLOWEST:g}: or more)")
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=6)
        return _svg(figure)


SLOWEST = 2.2
"""The multiple of the lower bound at which the panels end."""


def bars(panels: Mapping[str, Mapping[str, float]], *, ours: str, label: str) -> str:
    """Draw a panel of bars for each heading, one bar for each name; names that begin with `ours` are highlighted."""
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(11, 0.24 * max(map(len, panels.values())) + 1), layout="constrained")
        for axes, (heading, heights) in zip(
            figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0], panels.items(), strict=True
        ):
            names = list(heights)[::-1]
            drawn = axes.barh(
                names,
                [heights[name] for name in names],
                color=[OURS if name.startswith(ours) else OTHER for name in names],
                height=0.7,
            )
            axes.bar_label(drawn, fmt="{:,.0f}", padding=3)
            axes.margins(x=0.15)
            axes.grid(visible=False)
            axes.tick_params(left=False)
            axes.set_title(heading, loc="left")
        figure.supxlabel(label, color=SOFT, size=9)
        return _svg(figure)


def lines(
    panels: Mapping[str, Mapping[str, Mapping[int, float]]], *, ours: str, x_label: str, y_label: str = ""
) -> str:
    """Draw a panel for each heading, with a line for each name, over a logarithmic x axis."""
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(11, 3.2), layout="constrained")
        for axes, (heading, curves) in zip(
            figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
        ):
            for marker, (name, points) in zip(MARKERS[1:], curves.items(), strict=False):
                colour = OURS if name.startswith(ours) else OTHER
                axes.plot(list(points), list(points.values()), marker=marker, color=colour, markersize=5, label=name)
            axes.set_xscale("log")
            axes.set_ylim(bottom=0)
            axes.set_title(heading, loc="left")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
            axes.minorticks_off()
            axes.legend(fontsize=8)
        figure.supxlabel(x_label, color=SOFT, size=9)
        figure.supylabel(y_label, color=SOFT, size=9)
        return _svg(figure)
