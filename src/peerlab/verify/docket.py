"""How a check comes to its verdict: it enters what it finds, subject by subject, and the docket weighs it.

The weighing stands here once, so that no check can pass by accident: one breach is a FAIL, else one gap is
INCONCLUSIVE, and a PASS needs at least one proof.
"""

from __future__ import annotations

import msgspec

from peerlab.verify.finding import Exhibit, Outcome


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict before it is put under a check's name."""

    outcome: Outcome
    summary: str
    exhibits: tuple[Exhibit, ...] = ()
    witness: Exhibit | None = None
    missing: tuple[str, ...] = ()


class Docket:
    """Collects proofs, breaches and gaps of one check and closes with a judgement."""

    def __init__(self) -> None:
        self._proofs: list[Exhibit] = []
        self._breaches: list[Exhibit] = []
        self._gaps: list[str] = []

    def proves(self, at: int, where: str, what: str, message: str = "") -> None:
        """Enter positive evidence: when (ns), where, what was seen, and the BGP message in hex where there is one."""
        self._proofs.append(Exhibit(at=at, where=where, what=what, message=message))

    def breaks(self, at: int, where: str, what: str, message: str = "") -> None:
        """Enter a breach of the assertion; the first becomes the witness."""
        self._breaches.append(Exhibit(at=at, where=where, what=what, message=message))

    def lacks(self, what: str) -> None:
        """Enter evidence that should be there and is not."""
        if what not in self._gaps:
            self._gaps.append(what)

    @property
    def is_clean(self) -> bool:
        """No breach and no gap so far."""
        return not self._breaches and not self._gaps

    @property
    def faults(self) -> int:
        """Breaches and gaps so far: compare before and after a subject to know whether it came through clean."""
        return len(self._breaches) + len(self._gaps)

    def close(self, passed: str) -> Judgement:
        """Weigh everything. ``passed`` is the summary of a PASS: what was shown, in figures."""
        gaps = tuple(self._gaps)
        if self._breaches:
            witness = self._breaches[0]
            return Judgement(
                outcome=Outcome.FAIL,
                summary=_and_more(f"{witness.where}: {witness.what}", len(self._breaches) - 1),
                exhibits=tuple(self._breaches[1:] + self._proofs),
                witness=witness,
                missing=gaps,
            )
        if not gaps and not self._proofs:
            gaps = ("nothing to judge was found",)
        if gaps:
            return Judgement(
                outcome=Outcome.INCONCLUSIVE,
                summary=_and_more(gaps[0], len(gaps) - 1),
                exhibits=tuple(self._proofs),
                missing=gaps,
            )
        return Judgement(outcome=Outcome.PASS, summary=passed, exhibits=tuple(self._proofs))


def _and_more(text: str, others: int) -> str:
    return f"{text} (and {others} more)" if others else text
