"""`recstack serve`: TensorFlow Serving's command line, so everything after the verb is its flags."""


def main(arguments: list[str]) -> int:
    """Runs the server until it is told to stop; returns its exit code."""
    from serving.app import serve

    return serve(arguments)
