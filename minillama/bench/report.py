"""What a benchmark found: a table for people, JSON with every round for programs."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from .peers import PEERS
from .rows import OURS, ROWS, Results


@dataclass(frozen=True)
class Traffic:
    """What decoding reads, and how fast.

    Attributes
    ----------
    weight_bytes, kv_bytes : float
        For one token, at the middle of the decoded ones.
    bytes_per_second : float
    share : float
        Of the bandwidth that was measured.
    """

    weight_bytes: float
    kv_bytes: float
    bytes_per_second: float
    share: float


def traffic(results: Results, threads: int, row: str) -> Traffic | None:
    """For a decode row of minillama; None where there is nothing to say, as of sequences that share what is read."""
    speed, about = results.median(threads, row, OURS), results.engines.get(OURS)
    if speed is None or about is None or not ROWS[row].decode or ROWS[row].sequences:
        return None
    weights = about["weight_bytes_per_token"]
    kv = about["kv_bytes_per_position"] * mean_position(row)
    rate = (weights + kv) * speed
    return Traffic(weights, kv, rate, rate / results.roofs[threads]["bytes_per_second"])


def mean_position(row: str) -> float:
    """Positions that a decoded token attends to, itself included, on average."""
    return ROWS[row].prompt + 1 + (ROWS[row].decode + 1) / 2


def as_json(results: Results) -> dict[str, Any]:
    """Everything that was measured, every round of it."""
    return {
        "date": str(date.today()),
        "machine": results.machine,
        "model": results.model,
        "rounds": results.settings.rounds,
        "interrupted": results.interrupted,
        "engines": results.engines,
        "notes": results.notes,
        "roofs": {str(threads): roofs for threads, roofs in results.roofs.items()},
        "rows": list(_json_rows(results)),
    }


def _json_rows(results: Results) -> Iterator[dict[str, Any]]:
    for (threads, row, engine), figures in results.series.items():
        median = statistics.median(figures)
        ours = results.median(threads, row, OURS)
        entry = {"threads": threads, "row": row, "engine": engine, "unit": ROWS[row].unit}
        entry |= {"rounds": figures, "median": median}
        found = traffic(results, threads, row) if engine == OURS else None
        if found is not None:
            entry |= asdict(found)
        if engine != OURS and ours is not None:
            entry["ratio"] = ours / median
        yield entry


# --- the table ----------------------------------------------------------------------------


def as_text(results: Results) -> str:
    """The machine, the figures beside the peers', the traffic of decoding, and the notes."""
    parts = [_heading(results), _speeds(results), _traffic_table(results)]
    notes = [*_which_engine(results), *_versions(results), *results.notes]
    parts.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(part for part in parts if part) + "\n"


def _heading(results: Results) -> str:
    m, model = results.machine, results.model
    rounds = max(map(len, results.series.values()), default=0)
    features = f" ({', '.join(m['features'])})" if m["features"] else ""
    return "\n".join(
        (
            f"model    {model['name']}: {model['parameters'] / 1e6:,.1f}M parameters, "
            f"{model['file_bytes'] / 1e6:,.1f} MB, {', '.join(model['stored'])}",
            f"machine  {m['cpu']}, {m['cores']} cores{features}, {m['system']}",
            f"         Python {m['python']}, NumPy {m['numpy']}, Numba {m['numba']}; "
            f"integer products: {m['integer_products']}",
            f"medians of {rounds} rounds in turns; ratio: minillama / peer",
        )
    )


def _speeds(results: Results) -> str:
    peers = [name for name in results.settings.against if any(engine in results.engines for engine in _engines(name))]
    titles = ["threads", "row", "unit", OURS]
    for peer in peers:
        titles += [peer, "ratio"]
    lines = []
    for threads in dict.fromkeys(results.settings.threads):
        for row in dict.fromkeys(results.settings.rows):
            ours = results.median(threads, row, OURS)
            if ours is None:
                continue
            line = [str(threads), row, ROWS[row].unit, _number(ours)]
            for peer in peers:
                best = results.best(threads, row, peer)
                line += ["-", "-"] if best is None else [_number(best[1]), f"{ours / best[1]:.2f}"]
            lines.append(line)
    return table(titles, lines) if lines else ""


def _traffic_table(results: Results) -> str:
    titles = ["threads", "row", "weights MB", "KV MB", "GB/s", "of GB/s", "share"]
    lines = []
    for threads, roofs in results.roofs.items():
        for row in dict.fromkeys(results.settings.rows):
            found = traffic(results, threads, row)
            if found is not None:
                sizes = (found.weight_bytes / 1e6, found.kv_bytes / 1e6, found.bytes_per_second / 1e9)
                measured = (f"{roofs['bytes_per_second'] / 1e9:.1f}", f"{found.share:.0%}")
                lines.append([str(threads), row, *(f"{size:.2f}" for size in sizes), *measured])
    return "read for each decoded token, of what this machine reads\n" + table(titles, lines) if lines else ""


def _engines(peer: str) -> tuple[str, ...]:
    return PEERS[peer].engines


def _which_engine(results: Results) -> Iterator[str]:
    """Where a peer was run in several ways: which way was the best."""
    for peer in results.settings.against:
        for engine in _engines(peer)[1:]:
            rows = [(t, row) for t in results.settings.threads for row in results.settings.rows]
            won = [f"{row} ({t})" for t, row in rows if (best := results.best(t, row, peer)) and best[0] == engine]
            if won:
                yield f"{engine} (flash attention on) is the better {peer} in {', '.join(won)}"


def _versions(results: Results) -> Iterator[str]:
    for name, about in results.engines.items():
        if name != OURS and name in PEERS:
            yield f"{name}: {about.get('version', '')}"


def _number(value: float) -> str:
    """Three digits at least: 0.213, 48.7, 1,340."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.3f}"


def table(titles: list[str], lines: list[list[str]]) -> str:
    """Columns under their titles; numbers to the right, words to the left."""
    widths = [max(len(line[i]) for line in [titles, *lines]) for i in range(len(titles))]
    words = [all(line[i][:1].isalpha() for line in lines) for i in range(len(titles))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if left else cell.rjust(width) for cell, width, left in zip(line, widths, words)
        ).rstrip()
        for line in [titles, *lines]
    )
