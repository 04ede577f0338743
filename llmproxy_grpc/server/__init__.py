"""The gRPC side: servicers and interceptors."""
