"""Exits 0 if the service on this machine says by the standard gRPC health check that it serves.

Where the service is locked, these variables hold the keys: HEALTHCHECK_TOKEN_FILE, a file with a
token of the role predict; HEALTHCHECK_ROOTS, HEALTHCHECK_CERTIFICATE and HEALTHCHECK_KEY, PEM
files; HEALTHCHECK_SERVER_NAME, the name in the service's certificate.
"""

import os
import sys
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from service.client.credentials import Tls, open_channel

DEADLINE_S = 3.0
PREFIX = "HEALTHCHECK_"


def main() -> int:
    """Ask once; the reason why it does not serve goes to standard error."""
    address = f"127.0.0.1:{os.environ.get('SCATONLINE_SERVER__PORT', '50051')}"
    try:
        status = _ask(address)
    except (OSError, ValueError) as error:
        print(f"the keys cannot be used: {error}", file=sys.stderr)
        return 1
    except grpc.RpcError as error:
        print(f"{address} does not answer the health check: {error}", file=sys.stderr)
        return 1
    if status != health_pb2.HealthCheckResponse.SERVING:
        name = health_pb2.HealthCheckResponse.ServingStatus.Name(status)
        print(f"{address} answers {name}, expected SERVING", file=sys.stderr)
        return 1
    return 0


def _ask(address: str) -> health_pb2.HealthCheckResponse.ServingStatus.ValueType:
    token_file = os.environ.get(f"{PREFIX}TOKEN_FILE")
    token = Path(token_file).read_text(encoding="utf-8").strip() if token_file else None
    with open_channel(address, token=token, tls=_tls()) as channel:
        reply = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(), timeout=DEADLINE_S
        )
    return reply.status


def _tls() -> Tls | None:
    names = ("roots", "certificate", "key", "server_name")
    given = {name: os.environ.get(PREFIX + name.upper()) for name in names}
    return Tls(**given) if any(given.values()) else None


if __name__ == "__main__":
    sys.exit(main())
