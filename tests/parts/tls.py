"""Certificates of a throw-away authority, as files and as contexts."""

import ssl
from dataclasses import dataclass, field
from pathlib import Path

import trustme


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where the PEM files of one authority lie."""

    authority: Path
    server_certificate: Path
    server_key: Path
    client_certificate: Path
    client_key: Path


@dataclass(frozen=True, slots=True)
class Tls:
    """One authority; `verify_peer` makes servers demand a client certificate it signed."""

    authority: trustme.CA = field(default_factory=trustme.CA)
    verify_peer: bool = False
    names: tuple[str, ...] = ("localhost", "127.0.0.1")

    def write(self, directory: Path) -> TlsFiles:
        """Issue a server and a client certificate and write all five PEM files."""
        files = TlsFiles(
            authority=directory / "ca.pem",
            server_certificate=directory / "server.pem",
            server_key=directory / "server-key.pem",
            client_certificate=directory / "client.pem",
            client_key=directory / "client-key.pem",
        )
        server = self.authority.issue_cert(*self.names)
        client = self.authority.issue_cert("client@localhost", common_name="guest")
        self.authority.cert_pem.write_to_path(str(files.authority))
        server.cert_chain_pems[0].write_to_path(str(files.server_certificate))
        server.private_key_pem.write_to_path(str(files.server_key))
        client.cert_chain_pems[0].write_to_path(str(files.client_certificate))
        client.private_key_pem.write_to_path(str(files.client_key))
        return files

    def server_context(self) -> ssl.SSLContext:
        """Return a server's context with a fresh certificate for `names`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(*self.names).configure_cert(context)
        if self.verify_peer:
            context.verify_mode = ssl.CERT_REQUIRED
            self.authority.configure_trust(context)
        return context

    def client_context(self) -> ssl.SSLContext:
        """Return a client's context that trusts this authority and shows a client certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.authority.configure_trust(context)
        self.authority.issue_cert("client@localhost").configure_cert(context)
        return context
