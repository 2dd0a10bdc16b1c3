"""What goes wrong, as the user sees it.

    RecstackError            exit 1: the work failed (disk, network, a peer)
    └── InputError           exit 2: a config, a table, a directory or an argument is not as it must be
        └── ConfigError      exit 2: one field of the configuration

A message names the field, the value, what was expected and what to do next; the command line prints it on one line.
"""

MEND_DATASET = "the dataset is damaged: delete its directory and run `recstack prepare` again"


class RecstackError(Exception):
    """The work failed for a reason outside the program; `exit_code` is the process's."""

    exit_code = 1


class InputError(RecstackError):
    """An input is not as it must be: a column, a file, a directory, a port."""

    exit_code = 2


class ConfigError(InputError):
    """A field of the configuration has a value it cannot have."""

    def __init__(self, field: str, value: object, expected: str) -> None:
        """Words the error as `field = value: expected …`.

        Args:
            field: dotted path of the field, such as `retrieval.batch_size`.
            value: what was given.
            expected: what would be accepted, and what to do.
        """
        super().__init__(f"{field} = {value!r}: expected {expected}")
        self.field = field
        self.value = value
        self.expected = expected

    def below(self, path: str) -> "ConfigError":
        """The error with the whole path of its field, where a table knows only its own name.

        `optimizer.learning_rate` below `ranking.optimizer` is `ranking.optimizer.learning_rate`, and so is
        `.learning_rate`, of a table that does not know its name.
        """
        if self.field.startswith("."):
            return ConfigError(f"{path}{self.field}".lstrip("."), self.value, self.expected)
        table, dot, name = self.field.partition(".")
        whole = dot and path.rpartition(".")[2] == table
        return ConfigError(f"{path}.{name}", self.value, self.expected) if whole else self


def first_line(error: BaseException) -> str:
    """The first line of an error's text: libraries append source lines and stack traces to theirs."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
