"""One function an RPC, shared by the gRPC and the REST door."""
