"""``peerlab rpki``: what a person writes of a ROA is judged before any lab is looked for."""

from __future__ import annotations

import pytest
from command import Command


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("198.18.33.0/24", "AS64502", "--max-length", "33"), "use 24 to 32"),
        (("198.18.33.0/24", "AS64502", "--max-length", "23"), "use 24 to 32"),
        (("2001:db8::/32", "64502", "--max-length", "129"), "use 32 to 128"),
        (("198.18.33.1/24", "AS64502"), "host bits"),
        (("198.18.33.0/24", "ASx"), "'ASx' is no AS number"),
        (("198.18.33.0/24", "AS4294967296"), "4294967296 is no AS number"),
    ],
)
@pytest.mark.parametrize("act", ["add", "remove"])
def test_a_mistaken_roa_is_explained_in_one_line(peerlab: Command, act: str, words: tuple[str, ...], said: str) -> None:
    assert peerlab("rpki", act, *words) == 3
    assert said in peerlab.err
    assert len(peerlab.err.splitlines()) == 1
    assert not peerlab.out
