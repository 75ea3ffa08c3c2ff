"""The report of an evaluation: results.json, table.md in the layout of the paper's tables, sheet.png.

results.json contains the protocol, the values of every picture, and the means of each system and group with bootstrap
intervals; a mean is over people of their means over views. Published values are only in the tables, in marked rows.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..files import replacing
from ..pictures import open_picture, write_image
from ..scene.textured import to_uint8
from . import published
from .metrics import METRICS, interval
from .people import BACK, GROUPS, SAME, measures_of, picture_path
from .protocol import Protocol, on_background

TILE, ROWS = 192, 16  # of the sheet: pixels a side of a picture, rows of a page
OTHER = "other views"  # all groups except the same view
MAX_DIFFERENCES = 3  # systems for which the sheet has a column of differences each

Summary = dict[str, dict[str, dict[str, dict[str, Any]]]]
"""system -> group -> metric -> mean, low, high (None for a single person), people, pictures."""


def write_report(
    out: Path, protocol: Protocol, records: list[dict[str, Any]], tables: Sequence[str] = ()
) -> dict[str, Any]:
    """Write all three files and return the results. ``tables`` are Markdown tables before the full one."""
    summary = summarise(records, protocol, out)
    left_out = {r["person"]: r["left_out"] for r in records if "left_out" in r}
    skipped = {f"{r['person']}.{view}": why for r in records for view, why in r["skipped"].items()}
    results = {"protocol": protocol.record(), "summary": summary, "left_out": left_out, "skipped": skipped,
               "made": {r["person"]: r["made"] for r in records if r["made"]},
               "rows": [row for r in records for row in r["rows"]]}  # fmt: skip
    with replacing(out / "results.json") as temporary:
        temporary.write_text(json.dumps(_strict(results), indent=1))
    text = [f"# dinar evaluate {protocol.task}", protocol.text(), _people(records, left_out, skipped)]
    text += [*tables, full_table(summary), notes(summary)]
    with replacing(out / "table.md") as temporary:
        temporary.write_text("\n\n".join(t for t in text if t) + "\n")
    write_sheets(out, protocol, results["rows"])
    return results


def _strict(x: Any) -> Any:
    """``x`` with infinity (the PSNR of equal pictures) and NaN as strings, which json lacks as numbers."""
    if isinstance(x, dict):
        return {k: _strict(v) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return [_strict(v) for v in x]
    return str(x) if isinstance(x, float) and not math.isfinite(x) else x


def _people(records: list[dict], left_out: dict[str, str], skipped: dict[str, str]) -> str:
    done = len(records) - len(left_out)
    lines = [f"{done} of {len(records)} people evaluated, {len(skipped)} of their views left out."]
    lines += [f"- left out: {n}: {why}" for n, why in left_out.items()]
    return "\n".join([*lines, *(f"- left out: view {n}: {why}" for n, why in skipped.items())])


# ---- numbers -----------------------------------------------------------------------------------------------------


def summarise(records: list[dict[str, Any]], protocol: Protocol, out: Path) -> Summary:
    """Means over people of their means over views, with intervals; and the metrics of sets (KID) for each group."""
    rows = [row for r in records for row in r["rows"]]
    systems, groups = list(dict.fromkeys(r["system"] for r in rows)), list(dict.fromkeys(r["group"] for r in rows))
    groups = [g for g in GROUPS if g in groups] + sorted(g for g in groups if g not in GROUPS)
    kinds: list[tuple[str, set[str]]] = [(g, {g}) for g in groups]
    if SAME in groups and len(groups) > 1:
        kinds.append((OTHER, set(groups) - {SAME}))
    summary: Summary = {}
    for system in systems:
        for name, members in kinds:
            mine = [r for r in rows if r["system"] == system and r["group"] in members]
            entry = {m: _mean(mine, m) for m in dict.fromkeys(m for r in mine for m in r["values"])}
            if len(mine) > 1:
                ours, true = (_Pictures(out, s, mine, protocol) for s in (system, "truth"))
                for m, x in measures_of(protocol).sets(ours, true).items():
                    entry[m] = {"mean": float(x), "low": None, "high": None, "people": len({r["person"] for r in mine}),
                                "pictures": len(mine)}  # fmt: skip
            summary.setdefault(system, {})[name] = entry
    return summary


def _mean(rows: list[dict], metric: str) -> dict[str, Any]:
    people: dict[str, list[float]] = {}
    for r in rows:
        if metric in r["values"]:
            people.setdefault(r["person"], []).append(r["values"][metric])
    means = np.array([np.mean(x) for x in people.values()])
    low, high = interval(means) if len(means) > 1 else (None, None)
    return {"mean": float(means.mean()), "low": low, "high": high, "people": len(means),
            "pictures": sum(map(len, people.values()))}  # fmt: skip


class _Pictures(Sequence[np.ndarray]):
    """Compared pictures, [H, W, 3] float32 each, read on access: a set may not fit into memory."""

    def __init__(self, out: Path, system: str, rows: list[dict[str, Any]], protocol: Protocol) -> None:
        self.paths, self.protocol = [picture_path(out, system, r) for r in rows], protocol

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, k: Any) -> Any:
        return on_background(np.asarray(open_picture(self.paths[k])), self.protocol)


# ---- tables ------------------------------------------------------------------------------------------------------


def arrow(metric: str) -> str:
    """The metric's name with an arrow in the direction of better values."""
    m = METRICS.get(metric.removeprefix("face "))
    return metric if m is None else metric + (" ↑" if m.better == "higher" else " ↓")


def number(entry: dict[str, Any] | None, metric: str = "", spread: bool = False) -> str:
    """A mean as text, with ``spread`` and its interval; a dash for None."""
    if entry is None:
        return "–"
    digits = 2 if "PSNR" in metric else 4
    text = f"{entry['mean']:.{digits}f}"
    if spread and entry["low"] is not None:
        text += f" [{entry['low']:.{digits}f}, {entry['high']:.{digits}f}]"
    return text


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def full_table(summary: Summary) -> str:
    """All groups, systems and metrics; those of faces in a second table."""
    metrics = list(dict.fromkeys(m for s in summary.values() for g in s.values() for m in g))
    order = [*METRICS, *(f"face {m}" for m in METRICS)]
    metrics.sort(key=lambda m: order.index(m) if m in order else len(order))
    groups = list(dict.fromkeys(g for s in summary.values() for g in s))
    tables = []
    for title, part in (("All", [m for m in metrics if not m.startswith("face ")]),
                        ("Faces", [m for m in metrics if m.startswith("face ")])):  # fmt: skip
        rows = []
        for g, (system, found) in ((g, x) for g in groups for x in summary.items()):
            if e := {m: found[g][m] for m in part if m in found.get(g, {})}:
                n = max(x["people"] for x in e.values()), max(x["pictures"] for x in e.values())
                rows.append([g, system, f"{n[0]} / {n[1]}", *(number(e.get(m), m, True) for m in part)])
        if rows:
            tables.append(
                f"## {title}\n\n" + markdown(["group", "system", "people / pictures", *map(arrow, part)], rows)
            )
    return "\n\n".join(tables)


def views_table(summary: Summary, lpips: str = "LPIPS-AlexNet") -> str:
    """A table in the layout of the paper's tables 1 and 3: same view, back view; then the published rows."""
    ours = [m for s in summary.values() for m in s.get(BACK, {})]
    # Published columns are of FlipReID and InceptionV3. A substitute has its own column.
    extra = [m for m in dict.fromkeys(ours) if m.startswith(("ReID", "KID")) and m not in published.BACK]
    either = f"LPIPS ↓ (ours: {lpips.removeprefix('LPIPS-')}; published: not stated)"
    head = ["method", "data", *(f"same view {m}" for m in ("MS-SSIM ↑", "PSNR ↑", either, "DISTS ↓")),
            *(f"back {m} ↓" for m in (*published.BACK, *extra))]  # fmt: skip
    rows = []
    for system, found in summary.items():
        same, back = found.get(SAME, {}), found.get(BACK, {})
        front = (number(same.get(m), m) for m in ("MS-SSIM", "PSNR", lpips, "DISTS"))
        behind = (number(back.get(m), m) for m in (*published.BACK, *extra))
        rows.append([f"**{system}**", "this run", *front, *behind])
    for data, table in published.DATA.items():
        for method, x in table.items():
            rows.append([method, f"published, {data}", f"{x[0]:.4f}", f"{x[1]:.2f}", *(f"{y:.4f}" for y in x[2:5]),
                         f"{x[5]:.5f}", f"{x[6]:.4f}", *("–" for _ in extra)])  # fmt: skip
    return ("## In the layout of tables 1 and 3\n\n" + markdown(head, rows) + "\n\nPublished rows are from arXiv "
            "2303.09375. They are of other people; crops, backgrounds and the network of LPIPS are not stated. They "
            "show the order of magnitude and do not rank systems.")  # fmt: skip


def ablation_table(summary: Summary, lpips: str = "LPIPS-AlexNet") -> str:
    """A table in the layout of the paper's table 2, with the published values of the row of the same name."""
    metrics = ("MS-SSIM", "PSNR", lpips)
    groups = [g for g in (SAME, OTHER) if any(g in s for s in summary.values())]
    head = ["texture", *(f"{g} {arrow(m)}" for g in groups for m in metrics),
            *(f"published {m}" for m in ("MS-SSIM ↑", "PSNR ↑", "LPIPS ↓"))]  # fmt: skip
    names = [*summary, *(n for n in published.ABLATION if f"neural: {n}" not in summary)]
    rows = []
    for name in names:
        x = published.ABLATION.get(name.removeprefix("neural: "))
        theirs = ["–"] * 3 if x is None else [f"{x[0]:.4f}", f"{x[1]:.2f}", f"{x[2]:.4f}"]
        mine = summary.get(name, {})
        rows.append([name, *(number(mine.get(g, {}).get(m), m) for g in groups for m in metrics), *theirs])
    return ("## In the layout of table 2\n\n" + markdown(head, rows) + "\n\nPublished: arXiv 2303.09375, 15 people of "
            "AzurePeople, diverse poses and viewpoints.")  # fmt: skip


def notes(summary: Summary) -> str:
    """Descriptions of the metrics in a summary."""
    used = dict.fromkeys(m.removeprefix("face ") for s in summary.values() for g in s.values() for m in g)
    lines = [f"- {m}: {METRICS[m].note}" for m in used if m in METRICS and METRICS[m].note]
    return "## Measures\n\n" + "\n".join(lines) if lines else ""


# ---- sheets ------------------------------------------------------------------------------------------------------


def write_sheets(out: Path, protocol: Protocol, rows: list[dict[str, Any]]) -> None:
    """Write sheet.png, sheet-2.png, ...: a row has the input, the truth, and each system with its difference."""
    cases: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for r in rows:
        cases.setdefault((r["person"], r["group"], r["view"]), []).append(r)
    systems = list(dict.fromkeys(r["system"] for r in rows))
    differences = len(systems) <= MAX_DIFFERENCES
    every = list(cases.items())
    for page in range(0, len(every), ROWS):
        strips = [_strip(out, protocol, key, found, systems, differences) for key, found in every[page : page + ROWS]]
        path = out / (f"sheet-{page // ROWS + 1}.png" if page else "sheet.png")
        write_image(path, np.vstack(strips))


def _strip(out: Path, protocol: Protocol, key: tuple[str, str, str], rows: list[dict], systems: list[str],
           differences: bool) -> np.ndarray:  # fmt: skip
    person, group, view = key
    tiles = []
    photo = out / "pictures" / "input" / f"{person}.png"
    if photo.is_file():
        tiles.append(_tile(np.asarray(open_picture(photo))[..., :3].astype(np.float32) / 255, f"{person} input"))
    of = {r["system"]: r for r in rows}
    true = _Pictures(out, "truth", rows[:1], protocol)[0]
    angle = "" if rows[0]["angle"] is None else f" {rows[0]['angle']:.0f}"
    tiles.append(_tile(true, f"{view} {group.replace('°', '')}{angle}"))
    for s in systems:
        if s not in of:
            tiles += [np.full((TILE, TILE, 3), 255, np.uint8)] * (1 + differences)
            continue
        ours = _Pictures(out, s, [of[s]], protocol)[0]
        tiles.append(_tile(ours, f"{s} {of[s]['values'].get('PSNR', float('nan')):.1f}"))
        if differences:
            tiles.append(_tile(np.abs(ours - true), "difference"))
    return np.hstack(tiles)


def _tile(picture: np.ndarray, text: str) -> np.ndarray:  # [H, W, 3] float in [0, 1]
    h, w = picture.shape[:2]
    k = TILE / max(h, w)
    small = cv2.resize(picture, (max(1, round(w * k)), max(1, round(h * k))), interpolation=cv2.INTER_AREA)
    out = np.full((TILE, TILE, 3), 255, np.uint8)
    y, x = (TILE - small.shape[0]) // 2, (TILE - small.shape[1]) // 2
    out[y : y + small.shape[0], x : x + small.shape[1]] = to_uint8(small)
    ink = (20, 20, 20) if out[:14].mean() > 128 else (235, 235, 235)
    cv2.putText(out, text, (3, 11), cv2.FONT_HERSHEY_SIMPLEX, 0.34, ink, 1, cv2.LINE_AA)
    return out
