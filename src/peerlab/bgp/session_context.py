"""What two speakers agreed on in their OPENs, as far as the codec needs it."""

from __future__ import annotations

import msgspec

from peerlab.bgp.attributes import Family
from peerlab.bgp.framing import EXTENDED_MAXIMUM, STANDARD_MAXIMUM


class SessionContext(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How to read the messages of one direction of a session.

    ``asn4``: AS numbers take four octets in AS_PATH and AGGREGATOR (RFC 6793). ``ebgp``: the sender is in another
    AS, which RFC 7606 section 7 makes a difference for. ``families``: what both sides announced; NLRI of another
    is ignored (RFC 4760 section 8). ``add_path``: families whose NLRI carries path identifiers in this direction
    (RFC 7911). ``extended_next_hop``: families whose next hop may be of the other one (RFC 8950).
    """

    asn4: bool = True
    ebgp: bool = True
    families: tuple[Family, ...] = (Family.IPV4, Family.IPV6)
    add_path: tuple[Family, ...] = ()
    extended_next_hop: tuple[Family, ...] = ()
    extended_message: bool = False

    @property
    def maximum(self) -> int:
        """Longest message in octets (RFC 8654 section 3)."""
        return EXTENDED_MAXIMUM if self.extended_message else STANDARD_MAXIMUM
