"""How good the search is, on public question sets: nDCG@10 of each stage, each fusion, and the setting in use.

    python -m benchmarks.quality [--cache FOLDER] [--development] [--corpus NAME ...]

Documents are chunked, embedded and indexed as the platform does it, with the default settings, and searched through
`EdgeIndex` and `Searcher`; a document ranks where its best chunk does. Only titles and texts are indexed. Without
`--development` the questions are the test questions of the bars, which no setting was chosen on. The cache keeps
vectors, so that a second run takes a minute. The last line on standard output is JSON.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from harness.figures import report
from harness.retrieval_sets import development_sets, reported_sets
from harness.search_quality import BARS, measure, open_embedder


def show(figures: dict[str, dict[str, float]], bars: dict[str, float]) -> None:
    """The table as Markdown."""
    print("| |", " | ".join(figures), "|")
    print("|---|", "---|" * len(figures), sep="")
    for row in next(iter(figures.values())):
        print(f"| {row} |", " | ".join(f"{figures[name][row]:.3f}" for name in figures), "|")
    if all(name in bars for name in figures):
        print("| to reach |", " | ".join(f"{bars[name]:.2f}" for name in figures), "|")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, help="folder that keeps vectors between runs")
    parser.add_argument("--development", action="store_true", help="the sets that settings are chosen on")
    parser.add_argument("--corpus", nargs="*", help="only these, of scifact medquad npl limit_small squad2 ...")
    options = parser.parse_args()
    every = development_sets() if options.development else reported_sets()
    sets = [one for one in every if not options.corpus or one.corpus in options.corpus]
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(sets, open_embedder(options.cache or Path(folder)))
    show(figures, BARS)
    report("quality", {"ndcg_at_10": figures})


if __name__ == "__main__":
    main()
