"""A lab over slow wires is at rest only when a look at every kernel finds nothing on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from peerlab.controller.settling import settle
from peerlab.errors import TimedOut


class _Answer:
    def __init__(self, octets: int) -> None:
        self._octets = octets

    async def result(self) -> dict[str, Any]:
        return {"octets_at_first": self._octets}


class _Kernels:
    """The answers of each node, look by look; the last goes for ever."""

    def __init__(self, **looks: list[int]) -> None:
        self.looks = looks
        self.order: list[str] = []

    async def task(self, node: str, entry: str, arguments: Mapping[str, Any] = {}) -> _Answer:
        self.order.append(node)
        left = self.looks[node]
        return _Answer(left.pop(0) if len(left) > 1 else left[0])

    async def quiet(self) -> None:
        self.order.append("quiet?")


def rest(kernels: _Kernels, within: float = 5.0) -> None:
    asyncio.run(settle(kernels, ("a", "b"), kernels.quiet, within))  # type: ignore[arg-type]


def test_one_look_is_enough_when_nothing_is_on_its_way() -> None:
    kernels = _Kernels(a=[0], b=[0])
    rest(kernels)
    assert kernels.order == ["quiet?", "a", "b"]


def test_what_was_on_its_way_makes_routers_talk_again_so_all_are_asked_again() -> None:
    kernels = _Kernels(a=[19, 0, 0], b=[0, 23, 0])
    rest(kernels)
    assert kernels.order == ["quiet?", "a", "b"] * 3


def test_a_lab_that_never_rests_is_told() -> None:
    kernels = _Kernels(a=[19], b=[0])
    with pytest.raises(TimedOut, match="rest on the wires of a, b"):
        rest(kernels, within=0.05)
