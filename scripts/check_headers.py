"""Compiles each header alone: a header that needs another one includes it."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FLAGS = ["-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Wno-missing-field-initializers"]
FLAGS += ["-Iinclude", "-I.", f"-I{sysconfig.get_path('include')}", "-D_GNU_SOURCE"]
FLAGS += ["-I/usr/share/include", "-I/usr/share/include/llhttp"]  # llhttp's on Debian 12.


def complaint(header: Path) -> str:
    """What the compiler says of a source that includes `header` twice and nothing else."""
    source = f'#include "{header}"\n#include "{header}"\n'
    compiler = os.environ.get("CXX", "g++")
    done = subprocess.run(
        [compiler, *FLAGS, "-x", "c++", "-"],
        input=source,
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{header} is not self-contained:\n{done.stderr}" if done.returncode else ""


def main() -> int:
    headers = [
        path for top in ("include", "src", "tests") for path in sorted(Path(top).rglob("*.hpp"))
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = [text for text in pool.map(complaint, headers) if text]
    print("\n".join(found) or f"{len(headers)} headers are self-contained")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
