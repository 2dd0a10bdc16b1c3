"""Flags of kinds: `--retrieval.encoder.kind cnn --retrieval.encoder.kernel-size 5`.

A field whose type has several kinds gets a flag for the kind and one for each option of any kind. Options that the
chosen kind shares with the configured one keep their configured value.
"""

from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from typing import Any, Literal

from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec, StructTypeInfo

from features.errors import ConfigError
from features.kinds import Kinds, kinds_of, option_names


def kind_flags() -> ConstructorRegistry:
    """Returns the rule by which tyro makes flags of the options of kinds."""
    registry = ConstructorRegistry()
    described: list[type] = []  # whose flags are being collected: those are tyro's own, as for any dataclass

    @registry.struct_rule
    def rule(info: StructTypeInfo) -> StructConstructorSpec | None:
        kinds = kinds_of(type(info.default))
        if kinds is None or described:
            return None
        flags: dict[str, StructFieldSpec] = {}
        for name, default in _defaults(kinds, info.default).items():
            described.append(type(default))
            spec = registry.get_struct_spec(replace(info, type=type(default), default=default))
            described.pop()
            assert isinstance(spec, StructConstructorSpec), f"the options of {name} are a dataclass"
            flags = {field.name: field for field in spec.fields} | flags
        return _one_of(kinds, info.default, flags)

    return registry


def _defaults(kinds: Kinds[Any], configured: object) -> dict[str, Any]:
    """The options of each kind before any flag: the configured ones, and other kinds' that need no value."""
    defaults = {kinds.name_of(configured): configured}
    for name in kinds.names:
        options = kinds.options(name)
        if all((field.default, field.default_factory) != (MISSING, MISSING) for field in fields(options)):
            defaults.setdefault(name, options())
    return defaults


def _one_of(kinds: Kinds[Any], configured: object, flags: Mapping[str, StructFieldSpec]) -> StructConstructorSpec:
    names = tuple(_defaults(kinds, configured))

    def instantiate(kind: str, **given: Any) -> Any:
        options = kinds.options(kind)
        known = option_names(options)
        for name, value in given.items():
            if name not in known and value != flags[name].default:
                others = ", ".join(_kinds_with(kinds, name))
                expected = (
                    f"an option of kind {kind!r}: {', '.join(known) or 'it has none'}; kinds that have it: {others}"
                )
                raise ConfigError(f".{name}", value, expected)
        return options(**{name: given[name] for name in known})

    choices: Any = Literal.__getitem__(names)
    kind = StructFieldSpec(
        name="kind", type=choices, default=kinds.name_of(configured), helptext="Each kind has options of its own."
    )
    shown = [replace(flag, helptext=_with_kinds(kinds, flag)) for flag in flags.values() if flag.name != "kind"]
    return StructConstructorSpec(instantiate=instantiate, fields=(kind, *shown))


def _with_kinds(kinds: Kinds[Any], flag: StructFieldSpec) -> str:
    """The flag's help, with the kinds that have the option unless all have."""
    text = flag.helptext() if callable(flag.helptext) else flag.helptext
    having = _kinds_with(kinds, flag.name)
    return (text or "") if len(having) == len(kinds.names) else f"{text or ''} ({', '.join(having)})".lstrip()


def _kinds_with(kinds: Kinds[Any], option: str) -> list[str]:
    return [name for name in kinds.names if option in option_names(kinds.options(name))]
