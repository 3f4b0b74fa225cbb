"""The lab's certificate authority: made once, and what it signs is for the addresses that are served."""

from __future__ import annotations

import ipaddress
import stat
from pathlib import Path

from cryptography import x509

from peerlab.api.certificate import certificates


def test_the_authority_is_made_once_and_signs_the_server(tmp_path: Path) -> None:
    first = certificates(tmp_path / "api", "direct", ["127.0.0.1", "localhost", "::1"])
    authority = first.authority.read_bytes()
    again = certificates(tmp_path / "api", "direct", ["127.0.0.1"])
    assert again.authority.read_bytes() == authority
    issuer = x509.load_pem_x509_certificate(authority)
    server = x509.load_pem_x509_certificate(again.server.read_bytes())
    server.verify_directly_issued_by(issuer)
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("127.0.0.1")]
    assert issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_keys_are_their_owners(tmp_path: Path) -> None:
    certificates(tmp_path / "api", "direct", ["127.0.0.1"])
    for name in ("ca.key", "server.key"):
        assert stat.S_IMODE((tmp_path / "api" / name).stat().st_mode) == 0o600
