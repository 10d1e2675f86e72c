"""From out/results.jsonl to RESULTS.md and chart.svg: medians, and ratios of interleaved pairs."""

from __future__ import annotations

import json
import platform
import subprocess
from collections import defaultdict
from html import escape
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

from peers import BARS, HERE, OUT, PACKAGES, PYTHON, VENV, WORKS

Record = dict[str, Any]
RESULTS = HERE / "RESULTS.md"
SERVER_NOTES, GREENS = "## Servers: about the figures", "## Green threads"
COLOURS = {"greenwsgi": "#1a7f37", "greenwsgi-epoll": "#4ac26b"}


def load(path: Path) -> dict[tuple[str, str], list[Record]]:
    records: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for line in path.read_text().splitlines():
        record = json.loads(line)
        records[record["work"], record["peer"]].append(record)
    return records


def machine(interpreter: Path | str = PYTHON) -> str:
    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    script = "import platform; print(platform.python_version())"
    python = subprocess.run(
        [interpreter, "-c", script], capture_output=True, text=True, check=True
    ).stdout.strip()
    return f"{cpu}, Linux {platform.release()}, CPython {python}"


def versions_line(packages: list[str]) -> str:
    found = []
    for package in packages:
        paths = [str(next((VENV / "lib").glob("python*")) / "site-packages")]
        for distribution in metadata.distributions(name=package, path=paths):
            found.append(f"{package} {distribution.version}")
    return f"{machine()}. {', '.join(sorted(set(found)))}."


def sections(text: str) -> dict[str, str]:
    """By heading: what stands under each `## ` of a text; before the first, under ""."""
    parts = {"": [""]}
    heading = ""
    for line in text.splitlines():
        if line.startswith("## "):
            heading = line
            parts[heading] = []
        else:
            parts[heading].append(line)
    return {heading: "\n".join(lines).strip() for heading, lines in parts.items()}


def put_sections(new: dict[str, str]) -> None:
    """Writes sections into RESULTS.md, in the place of those with the same headings, or at the end;
    with them goes what notes.md says."""
    notes = sections((HERE / "notes.md").read_text())
    del notes[""]
    parts = sections(RESULTS.read_text()) | new | notes
    whole = [f"{heading}\n\n{body}".strip() for heading, body in parts.items()]
    RESULTS.write_text("\n\n".join(whole) + "\n")


def pair_ratio(ours: list[Record], theirs: list[Record]) -> float:
    """The median over the repetitions of our CPU time over theirs."""
    return median(a["cpu_us"] / b["cpu_us"] for a, b in zip(ours, theirs, strict=False))


def bars_table(records: dict[tuple[str, str], list[Record]]) -> list[str]:
    lines = [
        "| work | ours, us | against | theirs, us | ratio | to reach | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for work, ours, peer, bar in BARS:
        mine, theirs = records.get((work, ours)), records.get((work, peer))
        if not mine or not theirs:
            continue
        ratio = pair_ratio(mine, theirs)
        lines.append(
            f"| {WORKS[work].title} | {median(r['cpu_us'] for r in mine):.2f} ({ours}) | {peer} "
            f"| {median(r['cpu_us'] for r in theirs):.2f} | **{ratio:.2f}** | <= {bar} "
            f"| {'holds' if ratio <= bar else 'missed'} |"
        )
    return lines


def work_table(work: str, records: dict[tuple[str, str], list[Record]]) -> list[str]:
    lines = [
        f"### {WORKS[work].title}",
        "",
        "| server | CPU us a request | requests/s | p50 us | p99 us | PSS MiB | runs | errors |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    rows = []
    for (name, peer), runs in records.items():
        if name != work:
            continue
        middle = {
            key: median(run[key] for run in runs)
            for key in ("cpu_us", "requests_a_second", "p50_us", "p99_us", "memory_mib")
        }
        errors = next((run["errors"] for run in runs if run["errors"]), "")
        rows.append((middle["cpu_us"], peer, middle, len(runs), errors))
    for _, peer, middle, runs_count, errors in sorted(rows):
        lines.append(
            f"| {peer} | **{middle['cpu_us']:.2f}** | {middle['requests_a_second']:,.0f} "
            f"| {middle['p50_us']:,.0f} | {middle['p99_us']:,.0f} | {middle['memory_mib']:.0f} "
            f"| {runs_count} | {errors} |"
        )
    return [*lines, ""]


def chart(records: dict[tuple[str, str], list[Record]]) -> str:
    """CPU time a request, hello and sleeping calls, as horizontal bars."""
    rows: list[tuple[str, str, float]] = []
    for work in ("hello64", "slow1000"):
        of_work = [
            (median(run["cpu_us"] for run in runs), peer)
            for (name, peer), runs in records.items()
            if name == work and peer not in ("greenwsgi-core", "greenwsgi-epoll", "nginx")
        ]
        rows += [(work, peer, cpu) for cpu, peer in sorted(of_work)]
    width, left, line = 760, 130, 26
    widest = max((cpu for _, _, cpu in rows), default=1)
    parts, y, last = [], 10, ""
    for work, peer, cpu in rows:
        if work != last:
            y += 24
            title = escape(WORKS[work].title)
            parts.append(f'<text x="0" y="{y}" class="title">{title}: CPU us a request</text>')
            y, last = y + 10, work
        length = max(cpu / widest * (width - left - 70), 2)
        colour = COLOURS.get(peer, "#8c959f")
        parts.append(
            f'<text x="{left - 8}" y="{y + 16}" text-anchor="end">{escape(peer)}</text>'
            f'<rect x="{left}" y="{y + 3}" width="{length:.1f}" height="18" fill="{colour}"/>'
            f'<text x="{left + length + 6:.1f}" y="{y + 16}">{cpu:.1f}</text>'
        )
        y += line
    style = (
        "text{font:13px system-ui,sans-serif;fill:#57606a}.title{font-weight:600;fill:#1f2328}"
        "@media(prefers-color-scheme:dark){text{fill:#9198a1}.title{fill:#f0f6fc}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {y + 10}" role="img">'
        f"<title>CPU time a request, lower is better</title><style>{style}</style>"
        + "".join(parts)
        + "</svg>\n"
    )


def render(results: Path) -> None:
    records = load(results)
    text = [
        "# Measured",
        "",
        versions_line(PACKAGES),
        "",
        "Server on core 0, load (wrk, one thread; keep-alive) on core 1; three seconds a run after",
        "one of warming up; repetitions interleaved over the servers, medians shown, ratios taken",
        "pair by pair. CPU us a request: user and system time of the server, from /proc, over the",
        "requests it answered. Made by `bench/setup && bench/run.py`.",
        "",
        "![CPU time a request](chart.svg)",
        "",
        "## Figures to reach",
        "",
        *bars_table(records),
        "",
    ]
    idle = {peer: runs for (work, peer), runs in records.items() if work == "idle"}
    if idle:
        text += ["## Idle keep-alive connections", "", "| server | bytes (PSS) |", "| --- | --- |"]
        for peer, runs in sorted(idle.items(), key=lambda item: item[1][0]["bytes"]):
            text.append(f"| {peer} | {median(run['bytes'] for run in runs):,.0f} |")
        text.append("")
    parts = sections((HERE / "notes.md").read_text())
    text += [f"{SERVER_NOTES}\n\n{parts[SERVER_NOTES]}\n", "## All runs", ""]
    for work in WORKS:
        if any(name == work for name, _ in records):
            text += work_table(work, records)
    micro = OUT / "micro.txt"
    if micro.exists():
        text += ["## Micro benchmarks", "", "`bench/run.py micro`:", "", "```text"]
        text += [micro.read_text().rstrip(), "```", ""]
    greens = {
        heading: body
        for heading, body in sections(RESULTS.read_text()).items()
        if heading.startswith(GREENS)
    }
    RESULTS.write_text("\n".join(text))
    put_sections(greens)
    (HERE / "chart.svg").write_text(chart(records))
