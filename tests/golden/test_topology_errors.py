"""Every kind of mistake a topology can hold, with the exact text its author reads."""

from __future__ import annotations

from pathlib import Path

import pytest
from golden_file import agree

from peerlab.errors import InputError
from peerlab.topology.load import load_text

HERE = Path(__file__).parent / "errors"
FILES = sorted(HERE.glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_mistaken_topology_is_answered_with_these_sentences(path: Path) -> None:
    text = path.read_text()
    if path.stem.startswith("warning-"):
        answer = load_text(text, path.name).warnings
    else:
        with pytest.raises(InputError) as caught:
            load_text(text, path.name)
        assert caught.value.exit_code == 3
        answer = tuple(str(problem) for problem in caught.value.problems)
        assert all(problem.remedy for problem in caught.value.problems), "a mistake without a way out"
    agree(path.with_suffix(".txt"), "".join(f"{line}\n" for line in answer))
