"""TLS with the platform: how the two authenticate each other, and what a refusal by either means."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime
from pathlib import Path
from weakref import WeakValueDictionary

import attrs

from aionorth.common.arguments import argument
from aionorth.common.files import StrPath
from aionorth.errors import ArgumentError


@attrs.frozen(kw_only=True)
class Tls:
    """How the platform is verified, and how it can verify this client."""

    ca_file: StrPath | None = None
    client_cert: tuple[StrPath, StrPath] | None = None
    any_host_name: bool = False
    relaxed_x509: bool = False
    """Whether to take certificates that leave out what RFC 5280 asks for, as Python before 3.13 does."""

    @property
    def given(self) -> bool:
        """Whether anything differs from the defaults."""
        return self != Tls()

    def context(self) -> ssl.SSLContext:
        """Return the context, the same for the same settings while the content of their files stays what it was.

        Loading the system's CAs anew for each session would take 20 ms and half a megabyte.

        Raises:
            ArgumentError: A file cannot be used.
        """
        try:
            files = tuple(map(_identity, (*self._ca_files(), *(self.client_cert or ()))))
        except (OSError, TypeError, ValueError):
            return self._built()  # it says what is wrong
        key = files, self.ca_file is None, self.client_cert is None, bool(self.any_host_name), bool(self.relaxed_x509)
        if (context := _contexts.get(key)) is None:
            context = _contexts[key] = self._built()
        return context

    def _ca_files(self) -> list[StrPath]:
        if self.ca_file is not None:
            return [self.ca_file]
        system = ssl.get_default_verify_paths()
        return [path for path in (system.cafile, system.capath) if path]  # None where there is none

    def _built(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, TypeError, ValueError) as exc:
            raise ArgumentError(
                f"{argument('ca_file')} {str(self.ca_file)!r} cannot be used: {_reason(exc) or exc}; give a PEM file "
                "with one or more certificates"
            ) from exc
        if self.client_cert is not None:
            try:
                cert, key = self.client_cert
            except (TypeError, ValueError) as exc:
                raise ArgumentError(
                    f"{argument('client_cert')}={self.client_cert!r}: give two PEM files, certificate and key"
                ) from exc
            try:
                # Without a password callable OpenSSL would ask for one on the terminal.
                context.load_cert_chain(cert, key, password=lambda: "")
            except (OSError, TypeError, ValueError) as exc:
                reason, beside = _reason(exc), "" if key == cert else f" with the key {str(key)!r}"
                raise ArgumentError(
                    f"{argument('client_cert')} {str(cert)!r}{beside} cannot be used"
                    f"{f' ({reason})' if reason else ''}: {_own(exc, alone=key == cert)}"
                ) from exc
        if self.any_host_name:
            context.check_hostname = False  # the certificate itself is still verified
        if self.relaxed_x509:
            context.verify_flags &= ~ssl.VERIFY_X509_STRICT  # which is set from Python 3.13 on
        return context


def _reason(exc: Exception) -> str:
    """Return why a file cannot be loaded; empty where OpenSSL has no name for it, but only a line of its source."""
    if isinstance(exc, ssl.SSLError):
        return (exc.reason or "").replace("_", " ").lower()
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc)


_contexts: WeakValueDictionary[object, ssl.SSLContext] = WeakValueDictionary()


def _identity(path: StrPath) -> tuple[int, ...]:
    """Return what changes when a file is replaced or written to."""
    state = Path(path).stat()
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


# --- What a refusal means. OpenSSL's numbers and names hardly change; its texts do.

_CLOCK = "have {whose} certificate renewed, or set this machine's clock, by which it is {now:%Y-%m-%d %H:%M} UTC"
_SELF_SIGNED = f"give its CA as {argument('ca_file')}; one that is self-signed is its own CA"
_GIVE_CA = f"give its CA as {argument('ca_file')}, with those between them if {{whose}} server does not send them"
_WEAK = "OpenSSL refuses what is so weak: have {whose} operator use SHA-256, and keys of at least 2,048 bits"
_PURPOSE = "it is not made for a server: have {whose} operator install one that is"
_STRICT = (
    "have the CA issue one that keeps to RFC 5280, as Python from 3.13 on demands, or give "
    f"{argument('tls_relaxed_x509')}, which takes this one as Python 3.12 does"
)
_OTHER_FAULT = "have {whose} operator put that right"

_OF_VERIFY_CODE = {
    **dict.fromkeys((9, 10), _CLOCK),  # not yet valid, expired
    **dict.fromkeys((2, 19, 20, 21), _GIVE_CA),  # issuers that are not known
    18: _SELF_SIGNED,
    **dict.fromkeys((66, 67, 68), _WEAK),  # keys, and digests such as SHA-1
    **dict.fromkeys((24, 26), _PURPOSE),
    **dict.fromkeys(range(79, 96), _STRICT),  # such as key identifiers that are missing, in the CA's or in its own
}
_OF_A_CA = {2, 18, 19, 20, 21}
_HOST_NAMES = {
    62: "Use the name that it is for",
    64: "Use the host name that it is for, or have it issued for this address too",
}


def refused_certificate(
    cause: ssl.CertificateError,
    *,
    whose: str = "the platform's",
    ca_file: StrPath | None = None,
    now: datetime | None = None,
) -> str:
    """Say why a certificate was refused, the platform's or another one, and what to do about it."""
    code = getattr(cause, "verify_code", None) or 0
    reason = getattr(cause, "verify_message", None) or str(cause)
    if code in _HOST_NAMES:
        return (
            f"{whose} certificate is for another host name: {reason} {_HOST_NAMES[code]}, or, for commissioning only, "
            f"give {argument('unsafe_accept_any_host_name')}"
        )
    remedy = _OF_VERIFY_CODE.get(code, _OTHER_FAULT).format(whose=whose, now=now or datetime.now(UTC))
    if ca_file is not None and code in _OF_A_CA:
        reason += f"; it is not from the CA in {str(ca_file)!r}"
    return f"{whose} certificate was refused: {reason}; {remedy}"


_OWN = {
    "KEY_VALUES_MISMATCH": "the key is another certificate's: give the one that goes with it",
    "EE_KEY_TOO_SMALL": "OpenSSL refuses so small a key: have a certificate issued for one of 2,048 bits or more",
    "CA_MD_TOO_WEAK": "OpenSSL refuses so weak a digest: have it issued anew, with SHA-256",
}


def _own(cause: Exception, *, alone: bool) -> str:
    """Return what to do about a client certificate that cannot be loaded, `alone` or with a key in another file."""
    remedy = "give two PEM files, certificate and key, the key without a passphrase"
    if alone:
        remedy = (
            "give a PEM file that also has its key, without a passphrase, or give the key's file as "
            f"{argument('client_key')}"
        )
    return _OWN.get(getattr(cause, "reason", None) or "", remedy)


_NOT_TLS = (
    "what answers there speaks no TLS: does it speak plain http? Check the port; only if the platform has no TLS at "
    "all, begin the URL with http://"
)
_OLD = "it speaks no version of TLS that is still in use: have the platform's operator turn on TLS 1.2 or 1.3"
_CLIENT_CERT = argument("client_cert")
_NO_CIPHER = f"it and this machine have no cipher in common, or it asks for a client certificate: give {_CLIENT_CERT}"
_NO_NAME = "it knows no such host name: use the name that its certificate is for"
_GIVE_CERT = f"it asks for a client certificate: give {_CLIENT_CERT}"
_OTHER_CERT = (
    f"it does not accept the client certificate: give a {_CLIENT_CERT} that is valid and of a CA that it knows"
)
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
