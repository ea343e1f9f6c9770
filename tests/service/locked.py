"""Certificates and tokens for tests, as files of a folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import trustme
import yaml

from service.client.credentials import Tls, open_channel
from service.security import tokens
from tests.service.running import ENCODER, LocalService, settings_values

HOSTS = ("localhost", "127.0.0.1")


class Keys:
    """What locks a service, and what opens it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.certificate = folder / "certificate.pem"
        self.key = folder / "key.pem"
        self.tokens = folder / "tokens.yaml"
        self.authority = trustme.CA()
        self.roots = self.trust(self.authority, "roots.pem")
        self.certify(self.authority)
        self.held = {role: tokens.make() for role in ("predict", "update", "admin")}
        self.expired = tokens.make()
        self.write_tokens(*self.entries())

    def trust(self, authority: trustme.CA, name: str) -> Path:
        """A file with an authority's certificate."""
        path = self.folder / name
        authority.cert_pem.write_to_path(path)
        return path

    def certify(
        self,
        authority: trustme.CA,
        not_before: datetime | None = None,
        not_after: datetime | None = None,
    ) -> None:
        """Gives the service a certificate, in place of the one that it had."""
        issued = authority.issue_cert(*HOSTS, not_before=not_before, not_after=not_after)
        write_private(self.key, issued.private_key_pem.bytes())
        write_private(self.certificate, b"".join(each.bytes() for each in issued.cert_chain_pems))

    def client(self, authority: trustme.CA, name: str = "client") -> Tls:
        """Trusts the service's authority, and shows a certificate of its own."""
        issued = authority.issue_cert("rig-1")
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        write_private(key, issued.private_key_pem.bytes())
        write_private(certificate, issued.cert_chain_pems[0].bytes())
        return Tls(self.roots, certificate, key)

    def entries(self) -> list[dict[str, Any]]:
        """A token of each role, and one that is over."""
        return [
            *(entry(name, role=name, token=token) for name, token in self.held.items()),
            entry("former", "admin", self.expired, expires=datetime.now(UTC) - timedelta(days=1)),
        ]

    def write_tokens(self, *entries: dict[str, Any]) -> None:
        """Writes the file of tokens as an editor would: a new file in place of the old."""
        self.write_raw_tokens(yaml.safe_dump(list(entries)))

    def write_raw_tokens(self, text: str) -> None:
        write_private(self.tokens, text.encode())

    def security(self, **keys: Any) -> dict[str, Any]:
        """The section of the settings, with TLS and tokens unless told otherwise."""
        tls = {"certificate": str(self.certificate), "key": str(self.key)}
        return {"tls": tls, "tokens": str(self.tokens), **keys}


def entry(name: str, role: str, token: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "role": role, "sha256": tokens.digest(token), **more}


def write_private(path: Path, content: bytes) -> None:
    """Replaces a file by one that only this user may read."""
    unfinished = path.with_name(path.name + ".new")
    unfinished.touch(mode=0o600)
    unfinished.write_bytes(content)
    unfinished.replace(path)


@contextmanager
def locked_service(keys: Keys, **sections: Any) -> Iterator[LocalService]:
    """A service in this process with TLS and tokens, unless a section says otherwise."""
    sections = {"security": keys.security(), **sections}
    service = LocalService(settings_values(keys.folder, ENCODER, **sections))
    try:
        yield service
    finally:
        service.stop()


def status_of(
    service: LocalService, method: str, token: str | None, tls: Tls | None, request: bytes = b""
) -> grpc.StatusCode:
    """How a call that needs no stream is answered."""
    options = [("grpc.max_send_message_length", -1), ("grpc.enable_retries", 0)]
    with open_channel(service.address, options, token=token, tls=tls) as channel:
        try:
            channel.unary_unary(method, None, None)(request, timeout=20)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
    return grpc.StatusCode.OK
