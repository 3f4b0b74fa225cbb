"""A new controller on a lab that runs: what is wanted of the lab is learnt from its event log, not from a person."""

from __future__ import annotations

from peerlab.controller.cabling import cabled
from peerlab.controller.lab import Lab
from peerlab.controller.provision import Provisioner


async def attach_desk(name: str) -> Provisioner:
    """Take hold of a running lab and of the desk that its event log makes.

    The lab's intent is the desk's, so that a plan finds nothing to do where the last controller had carried out all
    that it had decided, and finishes what that controller had decided and not yet carried out. Raises RefusedError
    when no lab of that name runs.
    """
    lab = await Lab.attach(name)
    try:
        desk = Provisioner.of(lab)
        lab.model = cabled(lab.model, desk.desk.ledger)
        lab.intent = desk.intent()
    except BaseException:
        await lab.close()
        raise
    return desk
