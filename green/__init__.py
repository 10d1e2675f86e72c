"""Green threads for CPython, and the WSGI server that runs every call in one."""

from green._version import __version__

__all__ = ["__version__"]
