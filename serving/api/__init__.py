"""The RPCs, one function each, and the two entrypoints that call them: gRPC and REST."""
