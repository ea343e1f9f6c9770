"""Exits 0 if the service on this machine says by the standard gRPC health check that it serves."""

import os
import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

DEADLINE_S = 3.0


def main() -> int:
    """Ask once; the reason why it does not serve goes to standard error."""
    address = f"127.0.0.1:{os.environ.get('SCATONLINE_SERVER__PORT', '50051')}"
    with grpc.insecure_channel(address) as channel:
        try:
            reply = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=DEADLINE_S
            )
        except grpc.RpcError as error:
            print(f"{address} does not answer the health check: {error}", file=sys.stderr)
            return 1
    if reply.status != health_pb2.HealthCheckResponse.SERVING:
        status = health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status)
        print(f"{address} answers {status}, expected SERVING", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
