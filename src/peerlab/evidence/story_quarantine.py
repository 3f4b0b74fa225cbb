"""The words of the quarantine scene: what is done to every port before BGP may speak, and what came of it.

Every stimulus is told once per port, with ``trial`` = ``NODE INTERFACE`` of the port, unless it says otherwise.
"""

from __future__ import annotations

from enum import StrEnum


class QuarantineStimulus(StrEnum):
    """What quarantine does to a port. ``node`` is the router whose port it is."""

    PORT_WATCHED = "port-watched"
    """All frames that come out of a port are taken at the other end of its wire, for a window with traffic in it.
    applied: mac:str (registered), watched_at:'NODE INTERFACE', window_seconds:float. observed: seconds:float,
    frames:int, missed:int (lost to the kernel), untold:int (counted, not kept), specimens:[{at_ns, count, length,
    hex}], frames that are alike under the first of them."""
    ADDRESSES_ASKED = "addresses-asked"
    """ARP and neighbour solicitations ask a port for addresses of its own and for others.
    applied: asked:{'own'|'unused'|'monitor'|'off-lan'|'link-local': [addresses]}. The answers are specimens of
    port-watched. observed: sent:int frames."""
    ADDRESS_PLAN_READ = "address-plan-read"
    """The kernel's addresses are read, and echo requests come from both halves of the LAN: who has the whole netmask
    asks for each source by ARP or neighbour discovery.
    applied: sources:[addresses] (empty on a wire of two). observed: addresses:[with length]."""
    THIRD_HOST = "third-host"
    """Packets for somebody else on the subnet are sent to the port's MAC: whoever redirects would do it now.
    applied: destinations:[addresses]. observed: sent:int."""
    DIRECTED_BROADCAST = "directed-broadcast"
    """Packets to the LAN's broadcast address, and to an address of it that nobody has, enter the router elsewhere.
    applied: destination, control:addresses, entered:interface. observed: sent:int. The second shows that the router
    forwards from there: it asks for it by ARP."""
    PORT_SOAKED = "port-soaked"
    """1 kHz of datagrams leave the port, half IPv4 and half IPv6, while counters and carrier are read.
    applied: rate_hz, seconds. observed: sent, received:{family: int}, overflowed:int, ends:[{end, before:{...},
    after:{...}}] with the counters of both ends of the wire."""
    MTU_PROBED = "mtu-probed"
    """Echo requests that must not be fragmented, of the agreed MTU and one octet more, from the port to another.
    applied: mtu:int, destinations:[addresses]. observed: results:{address: {at_mtu:int, over:int}} answers,
    probes:int sent of each."""
    SERVICES_KNOCKED = "services-knocked"
    """Another router on the subnet tries DNS, NTP, SNMP, SSH and HTTP on the port's addresses.
    applied: addresses:[...]. observed: answers:{address: {service: 'open'|'closed'|'silent'|...}}."""
    RATE_MEASURED = "rate-measured"
    """More than a connection carries is sent over its wire, from one end. trial='LINK NODE'.
    applied: link, connection, configured_mbps, capacity_mbps (as emulated). observed: offered_mbps, measured_mbps; or
    unsupported:str."""
    BUNDLE_FORMED = "bundle-formed"
    """An LACP bundle of two wires comes up, and loses a member. trial='LACP'.
    observed: members, members_up, members_wanted, speed_mbps, expected_mbps:int, survived:bool; or unsupported:str."""
