"""What the service costs beside its models, against a bare gRPC echo on the same machine."""
