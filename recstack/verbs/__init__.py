"""One module a verb, each with a `main(arguments) -> exit code`."""
