"""Errors that are the user's to read.

    RecstackError            exit 1: the work failed (disk, network, a peer)
    └── InputError           exit 2: a config, a table, a directory or an argument is not valid
        └── ConfigError      exit 2: one field of the configuration

A message names the field, the value, what was expected and what to do next; the command line prints it on one line.
"""

MEND_DATASET = "the dataset is damaged: delete its directory and run `recstack prepare` again"


class RecstackError(Exception):
    """The work failed for a reason outside the program; the process ends with `exit_code`."""

    exit_code = 1


class InputError(RecstackError):
    """An input is not valid: a column, a file, a directory, a port."""

    exit_code = 2


class ConfigError(InputError):
    """A field of the configuration has a value that is not valid."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        """Formats the message as `field = value: expected …`.

        Args:
            field: Dotted path of the field, such as `retrieval.batch_size`.
            value: The value that was given.
            expected: What would be accepted, and what to do.
        """
        super().__init__(f"{field} = {value!r}: expected {expected}")
        self.field = field
        self.value = value
        self.expected = expected

    def below(self, path: str) -> "ConfigError":
        """Returns the error with the full path of its field.

        A table knows only its own name, or not even that: both `optimizer.learning_rate` and `.learning_rate` below
        `ranking.optimizer` become `ranking.optimizer.learning_rate`.
        """
        if self.field.startswith("."):
            return ConfigError(f"{path}{self.field}".lstrip("."), self.value, self.expected)
        table, dot, name = self.field.partition(".")
        whole = dot and path.rpartition(".")[2] == table
        return ConfigError(f"{path}.{name}", self.value, self.expected) if whole else self


def first_line(error: BaseException) -> str:
    """First line of an error's message; libraries append source lines and stack traces to theirs."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
