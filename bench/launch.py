"""launch.py SERVER PORT - starts a peer that has no command line of its own."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))


def gevent(port: int) -> None:
    from gevent import monkey

    monkey.patch_all()
    import gevent.socket
    from app import app
    from gevent.pywsgi import WSGIServer

    listener = gevent.socket.socket()
    listener.setsockopt(gevent.socket.SOL_SOCKET, gevent.socket.SO_REUSEADDR, 1)
    # pywsgi sends head and body in two pieces: without this a keep-alive request takes 40 ms.
    listener.setsockopt(gevent.socket.IPPROTO_TCP, gevent.socket.TCP_NODELAY, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(4096)
    WSGIServer(listener, app, log=None).serve_forever()


def eventlet(port: int) -> None:
    import eventlet

    eventlet.monkey_patch()
    import eventlet.wsgi
    from app import app

    listener = eventlet.listen(("127.0.0.1", port), backlog=4096)
    eventlet.wsgi.server(listener, app, log_output=False, max_size=20000)


def fastwsgi(port: int) -> None:
    import fastwsgi
    from app import app

    fastwsgi.run(wsgi_app=app, host="127.0.0.1", port=port, loglevel=0)


def bjoern(port: int) -> None:
    import bjoern
    from app import app

    bjoern.run(app, "127.0.0.1", port)


if __name__ == "__main__":
    globals()[sys.argv[1]](int(sys.argv[2]))
