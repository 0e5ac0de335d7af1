"""TLS with the platform: how the two authenticate each other, and what a refusal by either means."""

from __future__ import annotations

import ssl

import attrs

from aionorth.common.files import StrPath
from aionorth.errors import ArgumentError


@attrs.frozen(kw_only=True)
class Tls:
    """How the platform is verified, and how it can verify this client."""

    ca_file: StrPath | None = None
    client_cert: tuple[StrPath, StrPath] | None = None
    any_host_name: bool = False

    @property
    def given(self) -> bool:
        """Whether anything differs from the defaults."""
        return self != Tls()

    def context(self) -> ssl.SSLContext:
        """Build the context; raises `ArgumentError` where a file cannot be used."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, TypeError, ValueError) as exc:
            raise ArgumentError(f"ca_file {str(self.ca_file)!r} cannot be used: {exc}") from exc
        if self.client_cert is not None:
            try:
                cert, key = self.client_cert
                # Without a password callable OpenSSL would ask for one on the terminal.
                context.load_cert_chain(cert, key, password=lambda: "")
            except (OSError, TypeError, ValueError) as exc:
                raise ArgumentError(
                    f"client_cert={self.client_cert!r} cannot be used ({exc}): "
                    "give two PEM files, certificate and key, the key without a passphrase"
                ) from exc
        if self.any_host_name:
            context.check_hostname = False  # the certificate itself is still verified
        return context


# --- What a refusal means. OpenSSL's numbers and names hardly change; its texts do.

_CLOCK = "have the platform's certificate renewed, or set this machine's clock, by which certificates are judged"
_GIVE_CA = "give its CA as ca_file"
_WEAK = "OpenSSL refuses what is so weak: have the platform's operator use SHA-256, and keys of at least 2,048 bits"
_PURPOSE = "it is not made for a server: have the platform's operator install one that is"
_STRICT = "have the CA issue one that keeps to RFC 5280, as Python from 3.13 on demands; Python 3.12 accepts this one"
_OTHER_FAULT = "have the platform's operator put that right"

_OF_VERIFY_CODE = {
    **dict.fromkeys((9, 10), _CLOCK),  # not yet valid, expired
    **dict.fromkeys((2, 18, 19, 20, 21), _GIVE_CA),  # issuers that are not known, self-signed ones
    **dict.fromkeys((66, 67, 68), _WEAK),  # keys, and digests such as SHA-1
    **dict.fromkeys((24, 26, 79), _PURPOSE),
    **dict.fromkeys(range(80, 96), _STRICT),  # such as key identifiers that are missing
}
_HOST_NAMES = {62, 64}


def refused_certificate(cause: ssl.CertificateError) -> str:
    """Say why the platform's certificate was refused, and what to do about it."""
    code = getattr(cause, "verify_code", None)
    reason = getattr(cause, "verify_message", None) or str(cause)
    if code in _HOST_NAMES:
        return f"the platform's certificate is for another host name: {reason} Use the name that it is for"
    return f"the platform's certificate was refused: {reason}; {_OF_VERIFY_CODE.get(code or 0, _OTHER_FAULT)}"


_NOT_TLS = "what answers there speaks no TLS: does it speak plain http?"
_OLD = "it speaks no version of TLS that is still in use: have the platform's operator turn on TLS 1.2 or 1.3"
_NO_CIPHER = "it and this machine have no cipher in common, or it asks for a client certificate: give client_cert"
_NO_NAME = "it knows no such host name: use the name that its certificate is for"
_GIVE_CERT = "it asks for a client certificate: give client_cert"
_OTHER_CERT = "it does not accept the client certificate: give a client_cert that is valid and of a CA that it knows"
_OTHER_FAILURE = "check that host and port are the platform's"

_OF_REASON = {
    **dict.fromkeys(("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL"), _NOT_TLS),
    **dict.fromkeys(("ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "VERSION_TOO_LOW"), _OLD),
    **dict.fromkeys(("ALERT_HANDSHAKE_FAILURE", "ALERT_INSUFFICIENT_SECURITY", "NO_SHARED_CIPHER"), _NO_CIPHER),
    **dict.fromkeys(("DH_KEY_TOO_SMALL", "EE_KEY_TOO_SMALL", "BAD_ECPOINT"), _WEAK),
    "UNRECOGNIZED_NAME": _NO_NAME,
    "ALERT_CERTIFICATE_REQUIRED": _GIVE_CERT,
    **dict.fromkeys(
        (
            *("ALERT_UNKNOWN_CA", "ALERT_BAD_CERTIFICATE", "ALERT_UNSUPPORTED_CERTIFICATE", "ALERT_ACCESS_DENIED"),
            *("ALERT_CERTIFICATE_REVOKED", "ALERT_CERTIFICATE_EXPIRED", "ALERT_CERTIFICATE_UNKNOWN"),
        ),
        _OTHER_CERT,
    ),
}


def failed(cause: ssl.SSLError) -> str:
    """Say why TLS failed, and what to do about it."""
    reason = cause.reason or ""
    remedy = next((remedy for name, remedy in _OF_REASON.items() if reason.endswith(name)), _OTHER_FAILURE)
    return f"{reason.replace('_', ' ').lower() or cause}: {remedy}"


def alert(exc: BaseException) -> ssl.SSLError | None:
    """Return the alert with which the platform refused TLS, if that is what caused `exc`."""
    link: BaseException | None = exc
    while link is not None:
        if isinstance(link, ssl.SSLError) and "ALERT" in (link.reason or ""):
            return link
        link = link.__cause__ or link.__context__
    return None
