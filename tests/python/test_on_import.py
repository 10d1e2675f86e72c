"""when_imported(): the function is called once, whoever imports the module, and leaves no trace."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from green._on_import import when_imported


@pytest.fixture
def module_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the code of a module `late_module` is to be written, which can be imported then."""
    monkeypatch.syspath_prepend(str(tmp_path))
    finders = list(sys.meta_path)
    yield tmp_path / "late_module.py"
    sys.modules.pop("late_module", None)
    assert sys.meta_path == finders


def import_late_module() -> ModuleType:
    importlib.invalidate_caches()
    return importlib.import_module("late_module")


def test_a_module_that_is_imported_later_is_complete_and_has_its_own_loader(
    module_file: Path,
) -> None:
    module_file.write_text("value = 1\n")
    seen: list[tuple[ModuleType, int]] = []
    when_imported("late_module", lambda module: seen.append((module, module.value)))

    module = import_late_module()

    assert seen == [(module, 1)]
    assert module.__spec__ is not None
    assert type(module.__loader__).__module__ == "_frozen_importlib_external"
    assert module.__spec__.loader is module.__loader__


def test_a_finder_older_than_find_spec_is_passed_over(module_file: Path) -> None:
    class Old:
        def find_module(self, name: str, path: object = None) -> None:
            return None

    module_file.write_text("value = 1\n")
    seen: list[ModuleType] = []
    when_imported("late_module", seen.append)
    old: Any = Old()
    sys.meta_path.insert(1, old)
    try:
        module = import_late_module()
    finally:
        sys.meta_path.remove(old)

    assert seen == [module]


def test_a_module_that_is_there_already_is_given_at_once(module_file: Path) -> None:
    module_file.write_text("")
    module = import_late_module()
    seen: list[ModuleType] = []

    when_imported("late_module", seen.append)

    assert seen == [module]


def test_who_asks_twice_for_the_same_is_told_once(module_file: Path) -> None:
    module_file.write_text("")
    seen: list[ModuleType] = []
    function = seen.append
    when_imported("late_module", function)
    when_imported("late_module", function)

    module = import_late_module()
    when_imported("late_module", function)

    assert seen == [module]


def test_two_may_ask_for_one_module(module_file: Path) -> None:
    module_file.write_text("")
    one: list[ModuleType] = []
    other: list[ModuleType] = []
    when_imported("late_module", one.append)
    when_imported("late_module", other.append)

    module = import_late_module()

    assert one == other == [module]
    assert type(module.__loader__).__module__ == "_frozen_importlib_external"


def test_an_import_that_fails_is_tried_again(module_file: Path) -> None:
    module_file.write_text("raise OSError('not yet')\n")
    seen: list[ModuleType] = []
    when_imported("late_module", seen.append)
    with pytest.raises(OSError, match="not yet"):
        import_late_module()
    assert seen == []
    module_file.write_text("value = 'there now'\n")

    module = import_late_module()

    assert seen == [module]


def test_a_reload_does_not_call_it_again(module_file: Path) -> None:
    module_file.write_text("")
    seen: list[ModuleType] = []
    when_imported("late_module", seen.append)
    module = import_late_module()

    importlib.reload(module)

    assert seen == [module]


def test_a_module_that_another_thread_is_importing_is_waited_for(module_file: Path) -> None:
    module_file.write_text("import test_on_import_gate as gate\ngate.pause()\nvalue = 1\n")
    started, go_on = threading.Event(), threading.Event()

    def pause() -> None:
        started.set()
        go_on.wait()

    gate = ModuleType("test_on_import_gate")
    gate.pause = pause  # type: ignore[attr-defined]
    sys.modules[gate.__name__] = gate
    seen: list[int] = []
    importer = threading.Thread(target=import_late_module)
    importer.start()
    started.wait()
    asker = threading.Thread(
        target=when_imported, args=("late_module", lambda module: seen.append(module.value))
    )
    asker.start()

    go_on.set()

    asker.join()
    importer.join()
    del sys.modules[gate.__name__]
    assert seen == [1]
