"""The rates of the race as a picture: run by the Python that has matplotlib.

``python -m bench.race.chart RESULTS.json PICTURE.png``
"""

import json
import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt

from bench.race.bars import rates

COLOURS = {"quorum": "#3b6ea5", "classic": "#9db8d2"}
ON_ONE_CORE = {"ours", "go"}


def draw(whole: dict[str, object], picture: Path) -> None:
    """Draw bars, the fastest on top."""
    found = rates(whole["runs"])  # type: ignore[arg-type]
    mpl.use("Agg")
    figure, axes = plt.subplots(figsize=(8, 0.6 * len(found) + 1.4))
    for offset, (kind, colour) in zip((0.2, -0.2), COLOURS.items(), strict=True):
        places = [at + offset for at in range(len(found))]
        widths = [each.get(kind, 0.0) for each in found.values()]
        bars = axes.barh(places, widths, 0.38, color=colour, label=f"{kind} queue")
        axes.bar_label(bars, [f"{width:,.0f}" if width else "" for width in widths], padding=3)
    names = [f"{name} (one core)" if name in ON_ONE_CORE else name for name in found]
    axes.set_yticks(range(len(found)), names)
    axes.margins(x=0.1)
    axes.set_xlabel("webhooks a second, median")
    axes.set_title(f"{whole['machine']}, {str(whole['at'])[:10]}", fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    figure.tight_layout()
    figure.savefig(picture, dpi=120)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
