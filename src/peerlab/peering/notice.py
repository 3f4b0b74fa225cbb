"""Handlers: what Microsoft tells a peer without being asked: maintenance, and defects (spec 3.4, 3.9)."""

from __future__ import annotations

from peerlab.peering import mail
from peerlab.peering.command import EndMaintenance, FlagPartner, StartMaintenance
from peerlab.peering.work import Work

ACTION_NEEDED = "Action needed"
"""How the subject of a notice about a defect begins."""


def start_maintenance(work: Work, command: StartMaintenance) -> None:
    """The notice at the start."""
    peering, connection = work.connection(command.peering, command.connection)
    work.emit(*mail.maintenance(work.now, work.mail_of(peering), peering, connection, over=False))


def end_maintenance(work: Work, command: EndMaintenance) -> None:
    """The notice at the end."""
    peering, connection = work.connection(command.peering, command.connection)
    work.emit(*mail.maintenance(work.now, work.mail_of(peering), peering, connection, over=True))


def flag_partner(work: Work, command: FlagPartner) -> None:
    """The peer is told what is wrong with its side."""
    peering, connection = work.connection(command.peering, command.connection)
    to = work.mail_of(peering)
    work.emit(*mail.connection_notice(work.now, to, peering, connection, ACTION_NEEDED, command.problem))
