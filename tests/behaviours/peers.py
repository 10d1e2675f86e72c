"""peers.py [NAME...]: every scenario on green, gevent and eventlet, as a table.

Installs gevent, eventlet and the drivers that scenarios use into a virtual environment of its own,
build/peers-VERSION, for the interpreter that runs it. Run it by `./dev python`, which has the built
package on the path. NAMEs choose scenarios by a part of their names, or by a behaviour's number.

--runtime chooses who runs: what the others did before is kept in the environment. --write puts the
table into docs/behaviours.md; --env DIRECTORY is another environment.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import layer
import outcome
from support import FULL, Scenario, all_scenarios

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "behaviours.md"
MARK = "<!-- peers.py writes what follows -->\n"
PACKAGES = [
    *("gevent", "eventlet", "requests", "urllib3", "httpx", "boto3", "redis", "PyMySQL"),
    *("psycopg2-binary", "psycopg[binary]", "pymongo", "grpcio", "coverage", "py-spy"),
]
Results = dict[str, dict[str, list[str]]]  # {runtime: {scenario: [how it ended, why]}}
SHOWN = {"pass": "pass", "fail": "**fail**", "hang": "**hang**", "none": "none", "skip": "skipped"}


def environment(place: Path) -> str:
    """The interpreter of an environment that has the peers."""
    python = place / "bin" / "python"
    if not (place / ".complete").exists():
        print(f"installing {', '.join(PACKAGES)} into {place}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PACKAGES], check=True)
        (place / ".complete").touch()
    return str(python)


def versions(python: str) -> str:
    code = "from importlib.metadata import version\n"
    code += "print(', '.join(f'{n} {version(n)}' for n in ('gevent', 'eventlet', 'greenlet')))"
    found = subprocess.run([python, "-P", "-c", code], capture_output=True, text=True, check=True)
    hub = "import green; from green import _core; print(green.__version__, _core.hub_reason())"
    ours = subprocess.run(
        [python, "-P", "-c", hub], capture_output=True, text=True, check=True
    ).stdout
    number, _, reason = ours.strip().partition(" ")
    day = datetime.datetime.now(datetime.UTC).date()
    return (
        f"{day}, Python {platform.python_version()}, Linux {platform.release()}, "
        f"{os.cpu_count()} cores; green {number} ({reason}), {found.stdout.strip()}"
        + (", at full size" if FULL else "")
    )


def chosen(names: list[str]) -> list[Scenario]:
    found = all_scenarios()
    if not names:
        return found
    return [
        each
        for each in found
        if any(name in each.name or name == str(each.number) for name in names)
    ]


def cell(text: str) -> str:
    text = text.replace(f"{ROOT}/", "")
    text = text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
    return text if len(text) <= 100 else text[:97] + "..."


def row(scenario: Scenario, results: Results) -> str:
    found = {each: results[each].get(scenario.name, ["", "not run"]) for each in results}
    shown = [SHOWN.get(how, "") for how, _ in found.values()]
    whys = [f"{name}: {cell(why)}" for name, (how, why) in found.items() if how != "pass"]
    what = f"{scenario.what} `{scenario.name}`"
    return f"| {scenario.number} | {what} | {' | '.join(shown)} | {'<br>'.join(whys)} |"


def table(results: Results) -> str:
    """The sums, then a row for each scenario."""
    sums = [f"| | {' | '.join(results)} |", f"| --- | {' | '.join(['---:'] * len(results))} |"]
    for how in SHOWN:
        counts = [sum(each == how for each, _ in found.values()) for found in results.values()]
        sums.append(f"| {how} | {' | '.join(map(str, counts))} |")
    head = [f"| | behaviour | {' | '.join(results)} | why not |"]
    head += [f"| ---: | --- | {' | '.join(['---'] * len(results))} | --- |"]
    rows = [row(each, results) for each in sorted(all_scenarios(), key=lambda one: one.number)]
    return "\n".join([*sums, "", *head, *rows]) + "\n"


def runs(runtime: str, python: str, scenarios: list[Scenario]) -> dict[str, list[str]]:
    found = {}
    for scenario in scenarios:
        each = outcome.run(scenario, runtime, python)
        found[scenario.name] = [each.how, each.why]
        print(
            f"{runtime:9} {each.how:5} {scenario.number:3} {scenario.name} {each.why}", flush=True
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--runtime", choices=layer.RUNTIMES, action="append")
    version = platform.python_version()
    parser.add_argument("--env", type=Path, default=ROOT / "build" / f"peers-{version}")
    options = parser.parse_args()
    python = environment(options.env.absolute())
    kept = options.env / ("results-full.json" if FULL else "results.json")
    results = json.loads(kept.read_text()) if kept.exists() else {}
    results = {each: results.get(each, {}) for each in layer.RUNTIMES}
    for runtime in options.runtime or layer.RUNTIMES:
        found = runs(runtime, python, chosen(options.names))
        results[runtime].update(found)
        kept.write_text(json.dumps(results, indent=1))
    text = f"{versions(python)}\n\n{table(results)}"
    print(f"\n{text}")
    if options.write:
        page = PAGE.read_text().partition(MARK)[0]
        PAGE.write_text(f"{page}{MARK}\n{text}")


if __name__ == "__main__":
    main()
