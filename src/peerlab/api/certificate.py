"""The lab's own certificate authority and the server's certificate, made when a lab is served for the first time."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from peerlab.errors import RuntimeFailure

VALID_FOR = timedelta(days=365)
_CLOCK_SKEW = timedelta(minutes=5)


class Certificates(msgspec.Struct, frozen=True):
    """Files: the authority to trust, and what the server shows and keeps."""

    authority: Path
    server: Path
    key: Path


def certificates(directory: Path, lab: str, hosts: Iterable[str]) -> Certificates:
    """The lab's certificates below ``directory``; the authority is made once, the server's at every start.

    ``hosts`` are the names and addresses the server is reached under. Raises RuntimeFailure when they cannot be kept.
    """
    found = Certificates(directory / "ca.pem", directory / "server.pem", directory / "server.key")
    authority_key = directory / "ca.key"
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        if found.authority.is_file() and authority_key.is_file():
            signer = serialization.load_pem_private_key(authority_key.read_bytes(), None)
            issuer = x509.load_pem_x509_certificate(found.authority.read_bytes())
            if not isinstance(signer, ec.EllipticCurvePrivateKey):
                raise RuntimeFailure(f"{authority_key}: is not a key of ours; remove {directory} and serve again")
        else:
            signer, issuer = _authority(lab)
            write_private(authority_key, _pem(signer))
            found.authority.write_bytes(issuer.public_bytes(serialization.Encoding.PEM))
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _server(lab, hosts, key, signer, issuer)
        write_private(found.key, _pem(key))
        found.server.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    except (OSError, ValueError) as failure:
        raise RuntimeFailure(f"{directory}: the lab's certificates cannot be made or read: {failure}") from failure
    return found


def write_private(path: Path, octets: bytes) -> None:
    """A file that only its owner can read, from its first octet on."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(octets)
    beside.replace(path)


def _authority(lab: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"peerlab {lab} certificate authority")])
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    certificate = (
        _builder(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def _server(
    lab: str,
    hosts: Iterable[str],
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate,
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"peerlab {lab}")])
    names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    return (
        _builder(name, issuer.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(names, critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(authority, critical=False)
        .sign(signer, hashes.SHA256())
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + VALID_FOR)
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
