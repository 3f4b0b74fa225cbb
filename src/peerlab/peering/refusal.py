"""Microsoft.Peering's refusals with their codes and exact texts (spec 1.6).

``RefusedError.code`` is the provider's error code; which transport status goes with it is the API's business.
"""

from __future__ import annotations

from peerlab.errors import RefusedError

BAD_ARGUMENT = "BadArgument"
NOT_SUPPORTED = "OperationNotSupported"
NOT_FOUND = "NotFound"
RESOURCE_NOT_FOUND = "ResourceNotFound"
CONFLICT = "Conflict"
"""Only for what no source documents: a resource that others still use."""


def bad_argument(message: str) -> RefusedError:
    """The request's content is wrong."""
    return RefusedError(BAD_ARGUMENT, message)


def not_supported(message: str) -> RefusedError:
    """The request is well-formed but not possible now, or not for this resource."""
    return RefusedError(NOT_SUPPORTED, message)


def peering_not_found(name: str, resource_group: str) -> RefusedError:
    """A tracked resource is missing [REC]."""
    return RefusedError(
        RESOURCE_NOT_FOUND,
        f"The Resource 'Microsoft.Peering/peerings/{name}' under resource group '{resource_group}' was not found.",
    )


def service_not_found(name: str, resource_group: str) -> RefusedError:
    """A peering service is missing [REC, same shape]."""
    return RefusedError(
        RESOURCE_NOT_FOUND,
        f"The Resource 'Microsoft.Peering/peeringServices/{name}' under resource group '{resource_group}' "
        "was not found.",
    )


def child_not_found() -> RefusedError:
    """A proxy child (prefix, registered ASN) is missing [REC]."""
    return RefusedError(NOT_FOUND, "Resource does not exist.")


def peer_asn_not_found() -> RefusedError:
    """A PeerAsn is missing [PWSH]."""
    return RefusedError(NOT_FOUND, "PeerAsn does not exist with the given name")


def wrong_peering_type() -> RefusedError:
    """Registered prefixes or ASNs on a peering of the wrong type [REC]."""
    return not_supported("Operation is not supported for this peering type")


def exchange_update() -> RefusedError:
    """Address, MD5 or max-prefix of an existing exchange connection was changed [REC]."""
    return not_supported("Md5AuthenticationKey and MaxPrefix updates are not yet supported")


ADDRESS_OF_OTHER_ASN = {
    4: "IPv4 address is already configured with a different ASN",
    6: "IPv6 address is already configured with a different ASN",
}
"""errorMessage of a connection whose peer address is another AS's neighbour already [EX; IPv6 by analogy INF]."""
