"""A filter of system calls (seccomp(2)) for programs that must give up groups where nobody may change any."""

from __future__ import annotations

import ctypes
import os
import platform
import struct

PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 22, 38
_MODE_FILTER = 2
_ALLOW, _DONE = 0x7FFF0000, 0x00050000
"""SECCOMP_RET_ALLOW, and SECCOMP_RET_ERRNO with error 0: the call is not made and is told to have succeeded."""
_LOAD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_CALL_AT, _MACHINE_AT = 0, 4
_SETGROUPS = {"x86_64": (0xC000003E, 116), "aarch64": (0xC00000B7, 159)}
"""By machine: its number in the audit interface, and setgroups(2)'s number there."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def knows_this_machine() -> bool:
    """Whether ``keep_groups`` can be called here."""
    return platform.machine() in _SETGROUPS


def keep_groups() -> None:
    """From now on setgroups(2) does nothing and succeeds, in this process and all after it. Raises OSError.

    A user namespace made without privilege forbids it, although there is no group in it to give up.
    """
    machine, call = _SETGROUPS[platform.machine()]
    steps = (
        (_LOAD, 0, 0, _MACHINE_AT),
        (_IF_EQUAL, 0, 3, machine),
        (_LOAD, 0, 0, _CALL_AT),
        (_IF_EQUAL, 0, 1, call),
        (_RETURN, 0, 0, _DONE),
        (_RETURN, 0, 0, _ALLOW),
    )
    code = b"".join(struct.pack("=HBBI", *step) for step in steps)
    libc = ctypes.CDLL(None, use_errno=True)
    program = _Program(len(steps), code)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program)):
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: {os.strerror(number)}")
