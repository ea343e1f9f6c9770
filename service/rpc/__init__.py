"""The gRPC side: messages in, events out, results back. Nothing here touches a model."""

from service.rpc.server import RpcServer

__all__ = ["RpcServer"]
