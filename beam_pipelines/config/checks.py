"""Checks of configuration fields."""

from features.errors import ConfigError


def require(path: str, owner: object, name: str, ok: bool, expected: str) -> None:
    """Refuses a field's value.

    Args:
        path: dotted path of the table that holds the field.
        owner: the configuration node.
        name: of the field.
        ok: whether the value is acceptable.
        expected: what would be, for the message.

    Raises:
        ConfigError: it is not.
    """
    if not ok:
        raise ConfigError(f"{path}.{name}", getattr(owner, name), expected)
