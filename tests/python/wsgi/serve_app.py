"""A server in a process of its own: serve_app.py READY_FD APP BARE OPTIONS

Serves `APP` of apps.py, failing_apps.py or lasting_apps.py on a free port of 127.0.0.1, under
wsgiref's validator unless BARE is "bare", with the keyword arguments of _core.Server in the JSON
object OPTIONS; writes the port to READY_FD; stops at SIGTERM. "*" as APP: the first part of the
path is the application's name.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from wsgiref.validate import validator

sys.path.insert(0, str(Path(__file__).parent))

import app_kit
import apps
import failing_apps
import lasting_apps

from green import _core

APPS: dict[str, Any] = {**vars(apps), **vars(failing_apps), **vars(lasting_apps)}


def wrapped(app: Any, bare: bool) -> Any:
    return app if bare or app.__name__ in app_kit.UNRULY else validator(app)


def main() -> None:
    ready_fd, name, bare, options = sys.argv[1:]

    def dispatch(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        part, _, rest = environ["PATH_INFO"][1:].partition("/")
        environ["SCRIPT_NAME"] = f"/{part}"
        environ["PATH_INFO"] = f"/{rest}" if rest else ""
        return wrapped(APPS[part], bare == "bare")(environ, start_response)

    app = dispatch if name == "*" else wrapped(APPS[name], bare == "bare")
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    port = listener.getsockname()[1]
    server = _core.Server(app, [listener.detach()], **json.loads(options))
    signal.signal(signal.SIGTERM, lambda *_: server.stop(5.0))
    os.write(int(ready_fd), b"%d\n" % port)
    os.close(int(ready_fd))
    server.run()


if __name__ == "__main__":
    main()
