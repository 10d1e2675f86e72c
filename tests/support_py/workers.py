"""Work for groups and pools of greens: how many are inside at once?"""

from __future__ import annotations

from typing import Any

import green


class Crowd:
    """Counts those who are inside, and have been."""

    def __init__(self) -> None:
        self.inside = self.most = self.started = 0

    def work(self, item: Any = None, seconds: float = 0) -> Any:
        self.started += 1
        self.inside += 1
        self.most = max(self.most, self.inside)
        try:
            green.sleep(seconds)
        finally:
            self.inside -= 1
        return item
