"""Coming to rest over wires that are slow: a router can be quiet because nothing has reached it yet.

Without a delay two questions to every router are enough. With one, the kernels are asked as well: a message is on its
way until the far end's kernel has acknowledged it and the router there has read it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from peerlab.errors import TimedOut
from peerlab.runtime.base import Runtime

__all__ = ["settle"]

BGP_PORT = 179
SETTLE = "peerlab.runtime.transport:tcp_settle"


async def settle(
    runtime: Runtime, names: Sequence[str], quiet: Callable[[], Awaitable[None]], within: float
) -> None:
    """Return when a moment was seen in which every router was quiet and no BGP message on its way between them.

    ``quiet`` waits for the routers. Raises TimedOut after ``within`` seconds.
    """
    try:
        async with asyncio.timeout(within):
            while True:
                await quiet()
                arguments = {"port": BGP_PORT, "within": within}
                tasks = await asyncio.gather(*(runtime.task(name, SETTLE, arguments) for name in names))
                answers = await asyncio.gather(*(task.result() for task in tasks))
                if not any(answer["octets_at_first"] for answer in answers):
                    return
    except TimeoutError as error:
        raise TimedOut(f"rest on the wires of {', '.join(names)}", within) from error
