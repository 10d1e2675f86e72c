"""Builds the wheel as pip does for a user, and looks at it: its files, its libraries, its command.

The extension must need libc, libm, libstdc++ and libgcc only: everything else is linked in. Then it
is installed into an environment of its own, where the command answers.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

SYSTEM_LIBRARIES = {"libc", "libm", "libstdc++", "libgcc_s", "ld-linux-x86-64", "ld-linux-aarch64"}
# Debian testing has an archive of libllhttp that fits no module, so the shared library is taken.
SYSTEM_LIBRARIES |= {"libllhttp"} if not Path("/usr/share/llhttp/llhttp.c").exists() else set()
PACKAGE_FILE = re.compile(r"green/[\w/]+\.(?:py|pyi)|green/py\.typed|green/_core\..*\.so")
METADATA_FILE = re.compile(r"greenwsgi-[^/]*\.dist-info/.*")


def run(*arguments: str | Path, cwd: Path | None = None) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        arguments, cwd=cwd, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def build(directory: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "-q"]
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", directory, ".")
    (wheel,) = directory.glob("*.whl")
    return wheel


def unexpected_files(wheel: Path) -> list[str]:
    names = zipfile.ZipFile(wheel).namelist()
    sources = {path.as_posix() for path in Path("green").rglob("*.py*") if path.suffix != ".pyc"}
    strangers = [
        n for n in names if not PACKAGE_FILE.fullmatch(n) and not METADATA_FILE.fullmatch(n)
    ]
    return [f"{name} is in the wheel" for name in strangers] + [
        f"{name} is not in the wheel" for name in sorted(sources - set(names))
    ]


def unexpected_libraries(extension: Path) -> list[str]:
    needed = re.findall(r"NEEDED +(\S+?)\.so", run("objdump", "-p", extension))
    return [f"the extension needs {name}" for name in needed if name not in SYSTEM_LIBRARIES]


def unstripped(extension: Path) -> list[str]:
    sections = run("objdump", "-h", extension)
    return ["the extension has debug information"] if ".debug_info" in sections else []


def main() -> int:
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        wheel = build(directory)
        home = directory / "environment"
        venv.create(home, with_pip=True)
        run(home / "bin/pip", "-q", "install", "--no-deps", wheel)
        (extension,) = home.glob("lib/python*/site-packages/green/_core.*.so")
        found = unexpected_files(wheel) + unexpected_libraries(extension) + unstripped(extension)
        said = run(home / "bin/greenwsgi", "--version", cwd=directory)
        run(home / "bin/python", "-c", "from green import _core", cwd=directory)
        size = extension.stat().st_size // 1024
        print("\n".join(found) or f"{wheel.name}: {said.strip()}, an extension of {size} KiB")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
