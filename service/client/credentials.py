"""How a client knows the service and shows who it is: TLS, mTLS and bearer tokens.

A token only travels where nobody can listen: over TLS, or within this machine. gRPC itself holds to
that, whatever a name resolves to: without TLS a call with a token to another machine fails, and the
token is not sent.
"""

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc

Options = Sequence[tuple[str, str | int]]


@dataclass(frozen=True)
class Tls:
    """An encrypted connection.

    Attributes:
        roots: PEM file with the certificates of the authorities that may have signed the service's;
            None: the public authorities that gRPC comes with.
        certificate: PEM file with this client's certificate, where the service asks for one (mTLS).
        key: PEM file with the private key of `certificate`.
        server_name: Name that the service's certificate must carry; None: the target's host.
    """

    roots: Path | str | None = None
    certificate: Path | str | None = None
    key: Path | str | None = None
    server_name: str | None = None


def open_channel(
    target: str, options: Options = (), *, token: str | None = None, tls: Tls | None = None
) -> grpc.Channel:
    """A connection for blocking calls; nothing is sent before the first one.

    Args:
        target: Address, for example "localhost:50051".
        options: gRPC channel options.
        token: Bearer token; sent with every call.
        tls: Encrypts the connection; None: plain text.

    Raises:
        ValueError: the token, or a file of `tls`, is not what it should be.
        OSError: a file of `tls` cannot be read.
    """
    credentials = _credentials(token, tls)
    options = _with_name(options, tls)
    if credentials is None:
        return grpc.insecure_channel(target, options=options)
    return grpc.secure_channel(target, credentials, options=options)


def open_aio_channel(
    target: str, options: Options = (), *, token: str | None = None, tls: Tls | None = None
) -> grpc.aio.Channel:
    """As :func:`open_channel`, for calls that are awaited; made inside a running event loop."""
    credentials = _credentials(token, tls)
    options = _with_name(options, tls)
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=options)
    return grpc.aio.secure_channel(target, credentials, options=options)


def _credentials(token: str | None, tls: Tls | None) -> grpc.ChannelCredentials | None:
    if tls is None and token is None:
        return None
    # Local credentials encrypt nothing; they refuse a peer on another machine.
    channel = grpc.local_channel_credentials() if tls is None else _ssl(tls)
    if token is None:
        return channel
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError(
            "token: got one that is empty or has spaces, line ends or other signs than ASCII, "
            "expected it as `scatonline token` printed it"
        )
    return grpc.composite_channel_credentials(channel, grpc.access_token_call_credentials(token))


def _ssl(tls: Tls) -> grpc.ChannelCredentials:
    roots = None if tls.roots is None else _checked_roots(Path(tls.roots))
    if tls.certificate is None and tls.key is None:
        return grpc.ssl_channel_credentials(roots)
    if tls.certificate is None or tls.key is None:
        given, missing = ("key", "certificate") if tls.key else ("certificate", "key")
        raise ValueError(f"tls: got a {given} without its {missing}, expected both or neither")
    chain, key = Path(tls.certificate).read_bytes(), Path(tls.key).read_bytes()
    try:
        # The empty passphrase keeps OpenSSL from asking for one on the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(tls.certificate, tls.key, "")
    except ssl.SSLError as error:
        raise ValueError(
            f"tls: got {tls.certificate} and {tls.key}, which do not belong together, expected a "
            "PEM certificate and its private key without a passphrase"
        ) from error
    return grpc.ssl_channel_credentials(roots, key, chain)


def _checked_roots(path: Path) -> bytes:
    """Read here, since gRPC would take anything and then not say why it cannot connect."""
    content = path.read_bytes()
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError as error:
        raise ValueError(
            f"tls: got {path}, which holds no certificates, expected a PEM file of authorities"
        ) from error
    return content


def _with_name(options: Options, tls: Tls | None) -> list[tuple[str, str | int]]:
    if tls is None or tls.server_name is None:
        return list(options)
    return [*options, ("grpc.ssl_target_name_override", tls.server_name)]
