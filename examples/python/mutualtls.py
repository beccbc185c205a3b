"""The settings that every Handfast program has: HOST, PORT, CA_FILE, CERT_FILE, KEY_FILE, CRL_DIR."""

import os
import ssl
from pathlib import Path

HOST = os.environ.get("HOST", "localhost")
PORT = int(os.environ.get("PORT", "8443"))


def read(setting: str) -> bytes | None:
    """The content of the file that a setting names; None if it is not set."""
    path = os.environ.get(setting)
    return Path(path).read_bytes() if path else None


def client_context() -> ssl.SSLContext:
    """Trusts CA_FILE alone, and presents CERT_FILE if there is one."""
    context = ssl.create_default_context(cafile=os.environ["CA_FILE"])
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if "CERT_FILE" in os.environ:
        context.load_cert_chain(os.environ["CERT_FILE"], os.environ["KEY_FILE"])
    return context


def server_context() -> ssl.SSLContext:
    """Asks every client for a certificate of CA_FILE that no list in CRL_DIR revokes."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=os.environ["CA_FILE"])
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(os.environ["CERT_FILE"], os.environ["KEY_FILE"])
    context.set_alpn_protocols(["http/1.1"])
    if "CRL_DIR" in os.environ:
        for path in Path(os.environ["CRL_DIR"]).glob("*.crl"):
            context.load_verify_locations(cafile=path)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    return context


def identity(names: list[tuple[str, str]]) -> str:
    """The SPIFFE id among a certificate's names: its one URI."""
    uris = [value for kind, value in names if kind == "URI"]
    return uris[0] if len(uris) == 1 else "nobody"
