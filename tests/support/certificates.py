"""An authority of its own and a server's certificate from it, as files for TLS tests."""

from __future__ import annotations

import datetime
import ipaddress
import shutil
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Certificates:
    """`authority` signed `certificate`, which is for 127.0.0.1 and for no other address."""

    def __init__(self, folder: Path, owner: str | None = None) -> None:
        """The key can be read by `owner` alone, as PostgreSQL wants it."""
        self.authority, self.certificate = folder / "ca.pem", folder / "server.pem"
        self.key = folder / "server-key.pem"
        authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        # No two authorities share a name: one would be taken for the other, with a wrong signature.
        authority = _name(f"Authority of {folder.name}")
        own = x509.BasicConstraints(ca=True, path_length=0)
        root = _certificate(authority, authority, authority_key).add_extension(own, critical=True)
        addresses = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        server = _certificate(_name("Test server"), authority, server_key).add_extension(
            x509.SubjectAlternativeName(addresses), critical=False
        )
        for path, builder in ((self.authority, root), (self.certificate, server)):
            signed = builder.sign(authority_key, hashes.SHA256())
            path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        self.key.touch(mode=0o600)
        self.key.write_bytes(
            server_key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        if owner:
            for path in (folder, self.authority, self.certificate, self.key):
                shutil.chown(path, owner)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
    )
