"""run.py RUNTIME SECTION NAME: one scenario, in this process. Exit status 0, or see STATUS."""

from __future__ import annotations

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import layer

STATUS = {"Skip": 77, "Missing": 78}


def main() -> None:
    runtime, section, name, order, stdio = sys.argv[1:]
    layer.choose(runtime)
    # Nothing else is imported before the patch, unless the scenario is about just that.
    if order == "patch first":
        layer.patch(stdio=stdio == "stdio")
    import support

    (found,) = [each for each in support.scenarios(section) if each.name == name]
    status = 0
    try:
        found.function()
    except (support.Skip, layer.Missing) as reason:
        status = STATUS[type(reason).__name__]
        print(reason, file=sys.stderr)
    except BaseException as error:
        status = 1
        import traceback

        traceback.print_exception(error)
    # What is left over, greens that wait and threads, does not decide.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
