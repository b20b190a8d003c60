# SPDX-License-Identifier: GPL-3.0-or-later
"""A certificate in, encrypted connections out whose other end has exactly that certificate.

No authority is asked: the client knows the certificate by its fingerprint.
"""

from __future__ import annotations

import hmac
import http.client
import ssl
from pathlib import Path

from exomni_core.errors import EnvironmentProblem, InputError
from exomni_core.http.proof import fingerprint_of


def server_context(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """For a server; PEM files, `key` None where both are in one. InputError if they don't fit."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password=lambda: b"")
    except (OSError, ValueError) as error:
        raise InputError(
            f"{certificate} can't be used as a certificate ({error}); give PEM files that belong "
            "together, the key without a password",
            field="certificate",
        ) from error
    return context


def certificate_fingerprint(certificate: Path) -> str:
    """The fingerprint of the first certificate in a PEM file that `server_context` accepted."""
    text = certificate.read_text(encoding="ascii", errors="replace")
    begin, end = text.index("-----BEGIN CERTIFICATE"), text.index("-----END CERTIFICATE")
    return fingerprint_of(ssl.PEM_cert_to_DER_cert(f"{text[begin:end]}-----END CERTIFICATE-----\n"))


def pinned_connection(
    host: str, port: int, wait_s: float, fingerprint: str
) -> http.client.HTTPSConnection:
    """An open connection to who has this certificate; EnvironmentProblem if it is another's.

    Raises OSError if there is no connection, or none that is encrypted.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # the fingerprint names one certificate, whatever it is called
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    connection = http.client.HTTPSConnection(host, port, timeout=wait_s, context=context)
    try:
        connection.connect()
        shown = connection.sock.getpeercert(binary_form=True) or b""
        if not hmac.compare_digest(fingerprint_of(shown), fingerprint):
            raise EnvironmentProblem(
                f"what answers at {host}:{port} has another certificate than the one you trust; "
                "nothing was sent to it, compare the fingerprint with what exorender serve prints"
            )
    except BaseException:
        connection.close()
        raise
    return connection
