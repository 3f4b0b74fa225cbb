"""Adj-RIB-Out of one session: exactly what the peer has been told, and the messages that keep it true."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from peerlab.bgp.attributes import Family, PathAttributes
from peerlab.bgp.decision import choose
from peerlab.bgp.egress import Egress, Offer
from peerlab.bgp.framing import EXTENDED_MAXIMUM, STANDARD_MAXIMUM, MessageType, frame
from peerlab.bgp.nlri import nlri_text
from peerlab.bgp.rib import Rib
from peerlab.bgp.route_refresh import RefreshSubtype, RouteRefresh, encode_route_refresh
from peerlab.bgp.update import encode_raw_updates, encode_raw_withdrawals, end_of_rib

_FORGET_BEYOND = 4096

_Groups = dict[int, tuple[PathAttributes, list[bytes]]]
"""Prefixes to be announced, by the identity of their attributes."""


class AdjRibOut:
    """What one Established session's peer has been told, keyed by raw NLRI; brought up to date by ``flush``.

    A route server's client gets the best of the paths that its own export policy lets through, so that a path which
    is filtered for it does not hide another (RFC 7947 section 2.3). Stimuli (routes past policy) are kept apart.
    """

    def __init__(
        self,
        family: Family,
        egress: Egress,
        rib: Rib,
        *,
        ebgp: bool,
        asn4: bool,
        extended_message: bool,
        enhanced_route_refresh: bool,
        own_choice: bool,
    ) -> None:
        self._family = family
        self._rib = rib
        self._ebgp = ebgp
        self._asn4 = asn4
        self._maximum = EXTENDED_MAXIMUM if extended_message else STANDARD_MAXIMUM
        self._enhanced = enhanced_route_refresh
        self._own_choice = own_choice
        self.egress = egress
        self._told: dict[bytes, PathAttributes] = {}
        self._stimuli: dict[bytes, PathAttributes] = {}
        self._unsent_stimuli: dict[bytes, None] = {}
        self._ended_stimuli: dict[bytes, None] = {}
        # Prefixes for which the peer holds a route that is not in ``_told``: a stimulus, or what one replaced.
        self._astray: set[bytes] = set()
        self._whole = True
        self._resend = False
        self.end_of_rib_sent = False

    def __len__(self) -> int:
        return len(self._told)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._told)

    def route(self, raw: bytes) -> PathAttributes | None:
        """The attributes that the peer has been told for a prefix."""
        return self._told.get(raw)

    def look_at_everything(self) -> None:
        """Export policy changed: the next flush compares the whole table."""
        self._whole = True

    def resend(self) -> None:
        """The peer asked for a refresh: the next flush sends everything again."""
        self._resend = True

    def stimulate(self, raws: Sequence[bytes], attributes: PathAttributes) -> None:
        """Announce past policy. Raises ValueError when the attributes cannot be put into a message."""
        self._encode(attributes, raws, ebgp=False)
        for raw in raws:
            self._stimuli[raw] = attributes
            self._unsent_stimuli[raw] = None
            self._ended_stimuli.pop(raw, None)
            if self._told.pop(raw, None) is not None:
                self._astray.add(raw)

    def calm(self, raws: Sequence[bytes]) -> None:
        """End stimuli; unknown ones are ignored."""
        for raw in raws:
            if self._stimuli.pop(raw, None) is not None:
                self._unsent_stimuli.pop(raw, None)
                self._ended_stimuli[raw] = None

    def offer(self, raw: bytes) -> Offer | None:
        """What this session's peer is to be told of a prefix; None when there is no path at all."""
        if not self._own_choice:
            best = self._rib.best.get(raw)
            return None if best is None else self.egress.offer(raw, best)
        offers = {path: self.egress.offer(raw, path) for path in self._rib.paths(raw)}
        passed = [path for path, offer in offers.items() if offer.attributes is not None]
        chosen = choose(passed, self._rib.profile) if passed else None
        if chosen is not None:
            return offers[chosen]
        best = self._rib.best.get(raw)
        return None if best is None else offers[best]

    def flush(self, changed: Iterable[bytes], stirred: Iterable[bytes]) -> tuple[list[bytes], list[str]]:
        """Whole messages that make the peer know what it should, and words about routes that fit no message.

        ``changed`` are prefixes whose best path changed, ``stirred`` those of which any path did.
        """
        raws = stirred if self._own_choice else changed
        if self.egress.is_closed():
            raws = list(self._told)
        elif self._whole:
            raws = dict.fromkeys((*self._rib, *self._told))
        announce: _Groups = {}
        withdraw: list[bytes] = []
        replaced: set[bytes] = set()
        self._compare(raws, announce, withdraw, replaced)
        self._end_stimuli(announce, withdraw)
        problems: list[str] = []
        updates = self._announce(announce, withdraw, replaced, problems) + self._send_stimuli()
        messages = encode_raw_withdrawals(withdraw, self._family, self._maximum) if withdraw else []
        messages += updates
        if not self.end_of_rib_sent:
            messages.append(end_of_rib(self._family))
            self.end_of_rib_sent = True
        if self._resend:
            messages += self._everything()
        self._whole = self._resend = False
        self.egress.forget(2 * len(self._told) + _FORGET_BEYOND)
        return messages, problems

    def _compare(self, raws: Iterable[bytes], announce: _Groups, withdraw: list[bytes], replaced: set[bytes]) -> None:
        """Sort the prefixes whose wanted route differs from the told one."""
        told_routes, stimuli, best = self._told, self._stimuli, self._rib.best
        by_path: dict[int, PathAttributes | None] | None = None
        if not self._own_choice and not self.egress.looks_at_prefix():
            by_path = {}
        for raw in raws:
            if by_path is None:
                offer = self.offer(raw)
                wanted = None if offer is None else offer.attributes
            else:
                # The many: one question per path and flush instead of one per prefix. ``best`` keeps paths alive.
                path = best.get(raw)
                if path is None:
                    wanted = None
                elif id(path) in by_path:
                    wanted = by_path[id(path)]
                else:
                    wanted = by_path[id(path)] = self.egress.offer(raw, path).attributes
            told = told_routes.get(raw)
            if wanted is told or raw in stimuli:
                continue
            if wanted is None:
                del told_routes[raw]
                withdraw.append(raw)
                continue
            if told is not None:
                if wanted == told:
                    continue
                replaced.add(raw)
            told_routes[raw] = wanted
            _add(announce, wanted, raw)

    def _end_stimuli(self, announce: _Groups, withdraw: list[bytes]) -> None:
        """Where a stimulus ended the peer gets what policy has for the prefix, or a withdrawal of what it holds."""
        for raw in self._ended_stimuli:
            offer = self.offer(raw)
            if offer is not None and offer.attributes is not None:
                if raw not in self._told:
                    self._told[raw] = offer.attributes
                    _add(announce, offer.attributes, raw)
            elif raw in self._astray:
                withdraw.append(raw)
            self._astray.discard(raw)
        self._ended_stimuli.clear()

    def _announce(
        self, groups: _Groups, withdraw: list[bytes], replaced: set[bytes], problems: list[str]
    ) -> list[bytes]:
        messages: list[bytes] = []
        for attributes, raws in groups.values():
            try:
                messages += self._encode(attributes, raws, ebgp=self._ebgp)
            except ValueError as error:
                # RFC 8654 section 5: a route that fits no message is withdrawn, not left as it was.
                problems.append(f"{nlri_text(raws[0], self._family)} and {len(raws) - 1} more not announced: {error}")
                withdraw.extend(raw for raw in raws if raw in replaced)
                for raw in raws:
                    del self._told[raw]
        return messages

    def _send_stimuli(self) -> list[bytes]:
        """Messages with the stimuli that the peer has not heard yet."""
        groups: _Groups = {}
        for raw in self._unsent_stimuli:
            _add(groups, self._stimuli[raw], raw)
        self._astray.update(self._unsent_stimuli)
        self._unsent_stimuli.clear()
        return [message for one, raws in groups.values() for message in self._encode(one, raws, ebgp=False)]

    def _everything(self) -> list[bytes]:
        """The answer to a refresh, in brackets where both sides know them (RFC 7313 section 4)."""
        messages: list[bytes] = []
        if self._enhanced:
            messages.append(self._bracket(RefreshSubtype.BEGIN))
        for routes, ebgp in ((self._told, self._ebgp), (self._stimuli, False)):
            groups: _Groups = {}
            for raw, attributes in routes.items():
                _add(groups, attributes, raw)
            for attributes, raws in groups.values():
                messages += self._encode(attributes, raws, ebgp=ebgp)
        if self._enhanced:
            messages.append(self._bracket(RefreshSubtype.END))
        return messages

    def _bracket(self, subtype: RefreshSubtype) -> bytes:
        return frame(
            MessageType.ROUTE_REFRESH, encode_route_refresh(RouteRefresh(family=self._family, subtype=subtype))
        )

    def _encode(self, attributes: PathAttributes, raws: Sequence[bytes], *, ebgp: bool) -> list[bytes]:
        return encode_raw_updates(attributes, raws, self._family, asn4=self._asn4, maximum=self._maximum, ebgp=ebgp)


def _add(groups: _Groups, attributes: PathAttributes, raw: bytes) -> None:
    """Put a prefix with others of the same attributes."""
    group = groups.get(id(attributes))
    if group is None:
        groups[id(attributes)] = (attributes, [raw])
    else:
        group[1].append(raw)
