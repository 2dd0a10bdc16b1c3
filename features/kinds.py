"""Kinds of one thing, each with options of its own: a table from the kind's name to its options and its class.

    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True, kw_only=True)
    ... class EncoderConfig:  # what every kind has
    ...     dropout: float = 0.0
    >>> @dataclass(frozen=True, kw_only=True)
    ... class CNNConfig(EncoderConfig):  # what this kind has besides
    ...     kernel_size: int = 3
    >>> ENCODERS = Kinds(EncoderConfig, {"cnn": (CNNConfig, "trainer.layers.encoders.cnn:CNNEncoder")})

A dataclass field annotated `EncoderConfig` is then a tagged union. `features.serialization` reads and writes it as a
table whose `kind` names the class, the command line takes `--….encoder.kind cnn`, and `ENCODERS.implementation(config)`
is the class to construct. Classes given as "module:Class" are imported when they are first asked for, so that a
configuration needs no TensorFlow.
"""

import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, Generic, TypeAlias, TypeVar

O = TypeVar("O")  # noqa: E741 - options

Implementation: TypeAlias = str | type | None

_TABLES: dict[type, "Kinds[Any]"] = {}


class Kinds(Generic[O]):
    """The kinds that a field annotated with the options' base class may have."""

    def __init__(
        self, base: type[O], table: Mapping[str, tuple[type[O], Implementation]], *, default: str | None = None
    ) -> None:
        """Makes `base` a tagged union.

        Args:
            base: The class of the options that every kind has; a dataclass, or a class without fields.
            table: By the name of each kind, the dataclass of its options, which is a subclass of `base`, and the class
                that implements it: the class itself, or "module:Class"; None for a kind that stands for one of the
                others.
            default: The kind of a table that names none. If None, every table has to name its kind.

        Raises:
            ValueError: There is a table for `base` already, or a kind has no dataclass of its own.
        """
        if base in _TABLES:
            raise ValueError(f"{base.__name__} has a table of kinds already")
        self.base, self.default = base, default
        self._table: dict[str, tuple[type[O], Implementation]] = {}
        for name, (options, implementation) in table.items():
            self._add(name, options, implementation)
        _TABLES[base] = self

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all kinds, in the table's order."""
        return tuple(self._table)

    def __contains__(self, name: object) -> bool:
        """Whether there is a kind called `name`."""
        return name in self._table

    def options(self, name: str) -> type[O]:
        """The dataclass of a kind's options.

        Raises:
            KeyError: There is no kind called `name`.
        """
        return self._table[name][0]

    def name_of(self, options: O) -> str:
        """The kind that `options` are the options of.

        Raises:
            KeyError: The class of `options` is not in the table.
        """
        for name, (kind, _) in self._table.items():
            if kind is type(options):
                return name
        raise KeyError(f"{type(options).__name__} is not in the table of {self.base.__name__}")

    def implementation(self, options: O) -> Any:
        """The class that implements the kind of `options`, imported if need be; None for a kind without one."""
        implementation = self._table[self.name_of(options)][1]
        if not isinstance(implementation, str):
            return implementation
        module, _, name = implementation.partition(":")
        return getattr(importlib.import_module(module), name)

    @contextmanager
    def registered(self, name: str, options: type[O], implementation: Implementation) -> Iterator[None]:
        """Adds a kind from outside the package and removes it on leaving.

        Raises:
            ValueError: There is a kind called `name` already, or `options` are no dataclass of its own.
        """
        self._add(name, options, implementation)
        try:
            yield
        finally:
            del self._table[name]

    def _add(self, name: str, options: type[O], implementation: Implementation) -> None:
        if name in self._table:
            raise ValueError(f"{self.base.__name__} has a kind {name!r} already")
        is_own = all(options is not other for other, _ in self._table.values())
        if not is_own or options is self.base or not issubclass(options, self.base):
            raise ValueError(
                f"{name}: expected a subclass of {self.base.__name__} that is the options of no other kind"
            )
        self._table[name] = (options, implementation)


def kinds_of(options: object) -> Kinds[Any] | None:
    """The table of kinds that a class of options belongs to, or is the base of; None for any other type."""
    if not isinstance(options, type):
        return None
    return next((_TABLES[base] for base in options.__mro__ if base in _TABLES), None)


def option_names(options: type) -> tuple[str, ...]:
    """The fields that a table of these options may have, apart from `kind`."""
    return tuple(field.name for field in fields(options) if field.name != "kind")
