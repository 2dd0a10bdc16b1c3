"""The REST entrypoint."""
