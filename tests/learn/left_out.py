"""Each known mistake in turn as an unknown function: what does the check say of what is not in its list?

    python tests/learn/left_out.py [ID ...] [--reports FILE] [--jobs N]

It prints, over all exercises, how many are *named* as another known mistake (false, unless both are the same in other
words: read them), how many are *described*, with the kinds of statement, and how many are
rejected without a word that helps. `--reports` writes all reports, to be read.
"""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from minillama.learn.chapters.catalogue import catalogue, get_exercise
from minillama.learn.diagnosis.check import check_function
from minillama.learn.diagnosis.report import Report


@dataclass(frozen=True)
class LeftOut:
    """The report on one known mistake that was left out of the list."""

    id: str
    function: str
    mistake: str
    report: Report

    @property
    def kind(self) -> str:
        """ "named", "described", "rejected-only" or "accepted"."""
        if self.report.passed:
            return "accepted"
        if self.report.mistake:
            return "named"
        return "described" if self.report.described else "rejected-only"


def left_out(id: str) -> list[LeftOut]:
    """Each known mistake of an exercise, checked without it."""
    exercise, found = get_exercise(id), []
    for one in exercise.mistakes:
        others = replace(exercise, mistakes=[m for m in exercise.mistakes if m is not one])
        report = check_function(others, one.function)
        found.append(
            LeftOut(id, getattr(one.function, "__name__", str(exercise.mistakes.index(one))), one.name, report)
        )
    return found


def measured(ids: list[str], jobs: int = 1) -> Iterator[LeftOut]:
    if jobs == 1:
        for id in ids:
            yield from left_out(id)
        return
    with get_context("spawn").Pool(jobs) as pool:
        for found in pool.imap(left_out, ids):
            yield from found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ids", nargs="*", metavar="ID", help="exercises; all by default")
    parser.add_argument("--reports", type=Path, help="where to write all reports")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    begin = time.perf_counter()
    found = list(measured(options.ids or list(catalogue()), options.jobs))
    for one in found:
        if one.kind in ("named", "accepted"):
            print(f"{one.kind}: {one.id} {one.function}: {one.mistake}\n    said: {' '.join(one.report.headline)}")
    count = Counter(one.kind for one in found)
    print(f"\n{len(found)} known mistakes as unknown ones, {time.perf_counter() - begin:.0f} s")
    for kind in ("named", "described", "rejected-only", "accepted"):
        print(f"  {kind:15}{count[kind]:4}  {100 * count[kind] / max(len(found), 1):5.1f} %")
    claims = Counter(re.sub(r"[\d.]+", "#", one.report.headline[0])[:60] for one in found if one.kind == "described")
    for claim, n in claims.most_common(40):
        print(f"  {n:4}  {claim}")
    if options.reports:
        texts = (f"===== {one.kind}: {one.id} {one.function}\n{one.mistake}\n\n{one.report.text()}\n" for one in found)
        options.reports.write_text("\n".join(texts), encoding="utf-8")


if __name__ == "__main__":
    main()
