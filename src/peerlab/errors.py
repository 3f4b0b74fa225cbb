"""Every error that peerlab raises on purpose.

PeerlabError                exit 4   the lab broke (a process, the kernel, a timeout)
├── InputError              exit 3   the user's file or argument is wrong; lists every problem found
├── RefusedError            exit 3   a request was understood and refused (Microsoft.Peering rules, a lab's name taken)
├── RuntimeFailure          exit 4   the kernel, a namespace or a process did not do what it was asked
│   ├── Unsupported         exit 4   this machine or daemon cannot do it; says what is missing and how to mend it
│   └── LabBroken           exit 4   a running lab lost its supervisor, its tap or its event log; nothing can go on
├── TimedOut                exit 4   an awaited event did not come within its named timeout
├── BundleDamaged           exit 6   an evidence bundle is not what its manifest says, or no bundle at all
└── BundleTooNew            exit 7   an evidence bundle has a format of a later peerlab
WireError                   (bgp)    a BGP message is malformed; carries the NOTIFICATION code and subcode
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


class PeerlabError(Exception):
    """Root of all intended errors. ``exit_code`` is what the command line ends with."""

    exit_code = 4


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in the user's input: where it is, what is wrong, what to do about it."""

    path: str
    what: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.path}: {self.what}; {self.remedy}"


class InputError(PeerlabError):
    """The user's file or argument is wrong. Carries every problem that was found, not only the first."""

    exit_code = 3

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class RefusedError(PeerlabError):
    """A request was understood and refused. ``code`` is the field's name for the refusal (e.g. ``BadArgument``)."""

    exit_code = 3

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        super().__init__(f"{code}: {message}")


class RuntimeFailure(PeerlabError):
    """The kernel, a namespace or a process did not do what it was asked."""


class Unsupported(RuntimeFailure):
    """This machine or daemon cannot do what was asked. The text says what is missing and how to mend it."""


class LabBroken(RuntimeFailure):
    """A running lab lost its supervisor, its tap or its event log. What it had shown until then is kept."""


class TimedOut(PeerlabError):
    """An awaited event did not come in time."""

    def __init__(self, what: str, seconds: float) -> None:
        self.what = what
        self.seconds = seconds
        super().__init__(f"{what} did not happen within {seconds:g} s")


class BundleDamaged(PeerlabError):
    """An evidence bundle is not what its manifest says, or no bundle at all. Carries everything that is wrong."""

    exit_code = 6

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class BundleTooNew(PeerlabError):
    """An evidence bundle has a format that this peerlab does not know yet."""

    exit_code = 7


class WireError(Exception):
    """A BGP message is malformed (RFC 4271 section 6, RFC 7606). ``code``/``subcode`` are the NOTIFICATION's."""

    def __init__(self, code: int, subcode: int, data: bytes = b"", what: str = "") -> None:
        self.code = code
        self.subcode = subcode
        self.data = data
        super().__init__(what or f"NOTIFICATION {code}/{subcode}")
