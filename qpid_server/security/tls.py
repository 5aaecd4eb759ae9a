"""TLS for those who connect: certificates and keys from PEM files, and who a certificate speaks of."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from ..options import OptionError, Options

__all__ = ["identity", "peer_context", "server_context"]


def server_context(options: Options) -> ssl.SSLContext | None:
    """What the TLS listeners show and demand; None where no certificate is configured, and so nothing listens.

    With `ssl-ca-file` clients may show a certificate, with `ssl-require-client-authentication` they have to.

    Raises:
        OptionError: a file is missing or broken, or options are that make no sense together.
    """
    if not options.ssl_cert_file:
        for name in ("ssl_key_file", "ssl_ca_file", "ssl_cert_password_file"):
            if getattr(options, name):
                raise OptionError(f"{name.replace('_', '-')} means nothing without ssl-cert-file")
        if options.ssl_require_client_authentication:
            raise OptionError("ssl-require-client-authentication means nothing without ssl-cert-file")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load_certificate(context, options)
    if options.ssl_ca_file:
        _load_authorities(context, options)
        context.verify_mode = ssl.CERT_OPTIONAL
    if options.ssl_require_client_authentication:
        if not options.ssl_ca_file:
            raise OptionError("ssl-require-client-authentication needs ssl-ca-file: whose certificates are good")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def peer_context(options: Options) -> ssl.SSLContext:
    """What this broker shows and demands when it connects to another one.

    Raises:
        OptionError: a file is missing or broken.
    """
    context = ssl.create_default_context()
    if options.ssl_ca_file:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        _load_authorities(context, options)
    if options.ssl_cert_file:
        _load_certificate(context, options)
    return context


def identity(certificate: Mapping[str, Any] | None) -> str:
    """Who a certificate speaks of: its common name, with its domain components behind an ``@``, as the C++ broker says.

    Args:
        certificate: as `ssl.SSLSocket.getpeercert` gives it.
    """
    names = [pair for relative_name in (certificate or {}).get("subject", ()) for pair in relative_name]
    common = [value for kind, value in names if kind == "commonName"]
    # A certificate names the largest domain first.
    domain = ".".join(value for kind, value in reversed(names) if kind == "domainComponent")
    if not common or not common[-1]:
        return ""
    return f"{common[-1]}@{domain}" if domain else str(common[-1])


def _load_certificate(context: ssl.SSLContext, options: Options) -> None:
    password = None
    if options.ssl_cert_password_file:
        try:
            with open(options.ssl_cert_password_file, encoding="utf-8") as file:
                password = file.readline().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise OptionError(f"ssl-cert-password-file {options.ssl_cert_password_file}: {error}") from None
    try:
        # Without a password OpenSSL would ask the terminal for one.
        context.load_cert_chain(options.ssl_cert_file, options.ssl_key_file or None, password or "")
    except (OSError, ValueError) as error:
        key = options.ssl_key_file or "the same"
        hint = "; does it need an ssl-cert-password-file?" if isinstance(error, ssl.SSLError) and not password else ""
        raise OptionError(f"ssl-cert-file {options.ssl_cert_file}, ssl-key-file {key}: {_said(error)}{hint}") from None


def _load_authorities(context: ssl.SSLContext, options: Options) -> None:
    try:
        context.load_verify_locations(options.ssl_ca_file)
    except OSError as error:
        raise OptionError(f"ssl-ca-file {options.ssl_ca_file}: {_said(error)}") from None


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
