"""Checks of configuration fields."""

from features.errors import ConfigError


def require(path: str, owner: object, name: str, ok: bool, expected: str) -> None:
    """Refuses a field's value.

    Args:
        path: Dotted path of the table that holds the field.
        owner: The configuration node.
        name: Name of the field.
        ok: Whether the value is acceptable.
        expected: The expected value, for the message.

    Raises:
        ConfigError: it is not.
    """
    if not ok:
        raise ConfigError(f"{path}.{name}", getattr(owner, name), expected)
