"""Converts typed objects to and from plain dictionaries (TOML, JSON), with errors that name the field."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import cattrs
from cattrs.gen import make_dict_unstructure_fn

from features.errors import ConfigError
from features.kinds import kinds_of, option_names

T = TypeVar("T")


@cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True, detailed_validation=True)
    converter.register_unstructure_hook(Path, str)
    converter.register_structure_hook(Path, lambda value, _: Path(_typed(value, str)))
    for scalar in (bool, str):
        converter.register_structure_hook(scalar, _typed)
    converter.register_structure_hook(int, lambda value, _: _in_64_bits(_typed(value, int)))
    converter.register_structure_hook(float, lambda value, _: float(_typed(value, (int, float))))
    converter.register_structure_hook_func(_is_tagged, lambda data, base: _structure_kind(converter, data, base))
    converter.register_unstructure_hook_factory(
        lambda cls: kinds_of(cls) is not None, lambda cls: _tagging_hook(converter, cls)
    )
    return converter


def _is_tagged(cls: Any) -> bool:
    """Whether `cls` is the base of the options of several kinds, rather than the options of one of them."""
    kinds = kinds_of(cls)
    return kinds is not None and kinds.base is cls


def _structure_kind(converter: cattrs.Converter, data: Any, base: type) -> Any:
    kinds = kinds_of(base)
    assert kinds is not None, "_is_tagged"
    if not isinstance(data, Mapping):
        raise AttributeError("a table")
    name = data.get("kind", kinds.default)
    if not isinstance(name, str) or name not in kinds:
        raise ConfigError(".kind", name, f"one of {', '.join(kinds.names)}")
    options = kinds.options(name)
    known = option_names(options)
    for key in sorted(data.keys() - {"kind", *known}):
        others = (
            f"an option of kind {name!r}: {', '.join(known)}" if known else f"nothing: kind {name!r} has no options"
        )
        raise ConfigError(f".{key}", data[key], _moved(options, key) or others)
    return converter.structure({key: value for key, value in data.items() if key != "kind"}, options)


def _tagging_hook(converter: cattrs.Converter, cls: type) -> Callable[[Any], dict[str, Any]]:
    """Returns the unstructure hook of options, which writes their kind first."""

    def unstructure_kind(options: Any) -> dict[str, Any]:
        kinds = kinds_of(type(options))
        assert kinds is not None, "its class, or a base of it, has a table"
        as_fields = make_dict_unstructure_fn(type(options), converter)
        return {"kind": kinds.name_of(options), **as_fields(options)}

    return unstructure_kind


def _typed(value: Any, kind: Any) -> Any:
    """Never converts a value: TOML has types, so `"12"` for a number is the user's mistake."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        names = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
        raise TypeError(f"{value!r} is not of type {names}")
    return value


def _in_64_bits(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise TypeError(f"{value} is not of type int of 64 bits")
    return value


MOVED_FIELDS = "MOVED"
"""Class attribute of a configuration node: where fields of former versions are now, by their old name."""


def unstructure(value: object) -> Any:
    """Returns the value as dictionaries, lists and scalars, ready for JSON or TOML."""
    return _without_none(_converter().unstructure(value))


def structure(data: Mapping[str, Any], kind: type[T], path: str = "") -> T:
    """Returns the typed object that `data` describes.

    Args:
        data: Plain dictionaries, lists and scalars.
        kind: The class to build.
        path: Dotted path of `data` in the whole file, for error messages.

    Raises:
        ConfigError: A key is unknown or missing, a value has the wrong type or is refused by its class, or a kind or
            one of its options does not exist.
    """
    try:
        return _converter().structure(data, kind)
    except cattrs.BaseValidationError as error:
        raise _first_error(error, path, data) from error
    except ConfigError as error:
        raise error.below(path) from None


def _first_error(error: BaseException, path: str, data: object) -> ConfigError:
    """Returns the first leaf of cattrs' error tree with the path of its field."""
    while isinstance(error, BaseExceptionGroup):
        leaf = error.exceptions[0]
        for note in getattr(leaf, "__notes__", []):
            field = getattr(note, "name", None)
            index = getattr(note, "index", None)
            if field is not None:
                path = f"{path}.{field}".lstrip(".")
                data = data.get(field) if isinstance(data, Mapping) else None
            elif index is not None:
                if not isinstance(data, list):
                    return ConfigError(path, data, "a list")
                path, data = f"{path}[{index}]", data[index]
        error = leaf
    if isinstance(error, ConfigError):
        return error.below(path)
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        extra = sorted(error.extra_fields)[0]
        known = sorted(getattr(error.cl, "__dataclass_fields__", {}))
        value = data.get(extra) if isinstance(data, Mapping) else None
        moved = getattr(error.cl, MOVED_FIELDS, {}).get(extra)
        expected = (
            f"nothing: the field is now {moved}" if moved else f"no such field; the fields are {', '.join(known)}"
        )
        return ConfigError(f"{path}.{extra}".lstrip("."), value, expected)
    if isinstance(error, KeyError):
        return ConfigError(path, None, "a value; the field is required")
    return ConfigError(path, data, _expectation(error))


def _moved(cls: type, field: str) -> str:
    """What is expected in place of a field of former versions; empty if there was none."""
    place = getattr(cls, MOVED_FIELDS, {}).get(field)
    return f"nothing: the field is now {place}" if place else ""


def _expectation(error: BaseException) -> str:
    text = str(error)
    if "is not of type" in text:
        return "a value of type " + text.rsplit("type ", 1)[1]
    if isinstance(error, AttributeError):  # cattrs asked for the keys of a value that is not a table
        return "a table"
    if " not in literal " in text:
        return "one of " + text.split("Literal", 1)[1].strip("[]")
    return f"another value ({text})"


def _without_none(value: Any) -> Any:
    """Drops keys whose value is `None`, since TOML has no null."""
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, list | tuple) else value
