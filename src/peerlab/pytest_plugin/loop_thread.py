"""The controller's event loop in a thread of its own, so that tests are plain functions."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from peerlab.errors import TimedOut

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for whoever has no loop. End it with ``close``."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="peerlab", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], within: float, what: str) -> T:
        """The result of the work. Raises what it raises, TimedOut naming ``what`` after ``within`` seconds."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(within)
        except concurrent.futures.TimeoutError:
            future.cancel()
            raise TimedOut(what, within) from None
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End the loop and its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
