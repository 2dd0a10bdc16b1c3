from dataclasses import dataclass, field
from typing import Literal

import pytest
import tyro

from features.errors import ConfigError
from features.kinds import Kinds
from recstack.kind_flags import kind_flags


@dataclass(frozen=True, kw_only=True)
class Engine:
    power: int = 100
    """Horsepower."""


@dataclass(frozen=True, kw_only=True)
class PetrolOptions(Engine):
    cylinders: int = 4
    """Number of cylinders."""


@dataclass(frozen=True, kw_only=True)
class ElectricOptions(Engine):
    battery: Literal["small", "large"] = "small"
    """How far it goes."""


@dataclass(frozen=True, kw_only=True)
class ImportedOptions(Engine):
    country: str


@dataclass(frozen=True, kw_only=True)
class Car:
    engine: Engine = field(default_factory=PetrolOptions)
    """What drives it."""


ENGINES = Kinds(
    Engine, {"petrol": (PetrolOptions, int), "electric": (ElectricOptions, int), "imported": (ImportedOptions, int)}
)


def parse(*arguments: str, default: Car | None = None) -> Engine:
    return tyro.cli(Car, args=arguments, default=default or Car(), registry=kind_flags()).engine


def test_options_of_the_configured_kind_have_flags() -> None:
    configured = Car(engine=PetrolOptions(power=70, cylinders=3))
    assert parse(default=configured) == configured.engine
    assert parse("--engine.cylinders", "6", default=configured) == PetrolOptions(power=70, cylinders=6)


def test_another_kind_keeps_the_options_that_it_shares() -> None:
    configured = Car(engine=PetrolOptions(power=70, cylinders=3))
    assert parse("--engine.kind", "electric", default=configured) == ElectricOptions(power=70)
    given = ["--engine.battery", "large", "--engine.kind", "electric"]
    assert parse(*given, default=configured) == ElectricOptions(power=70, battery="large")


def test_option_of_another_kind_is_refused() -> None:
    message = ".battery = 'large': expected an option of kind 'petrol': power, cylinders; kinds that have it: electric"
    with pytest.raises(ConfigError) as error:
        parse("--engine.battery", "large")
    assert str(error.value) == message


def test_help_tells_which_kinds_have_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "--engine.kind {petrol,electric}" in text
    assert "Number of cylinders. (petrol)" in text
    assert "Horsepower. (default: 100)" in text


def test_kind_that_needs_a_value_is_chosen_by_the_configuration_alone() -> None:
    configured = Car(engine=ImportedOptions(country="fr"))
    assert parse("--engine.power", "50", default=configured) == ImportedOptions(power=50, country="fr")
    with pytest.raises(SystemExit):
        parse("--engine.kind", "imported")


def test_kind_from_outside_has_flags() -> None:
    @dataclass(frozen=True, kw_only=True)
    class SteamOptions(Engine):
        coal: float = 1.0

    with ENGINES.registered("steam", SteamOptions, int):
        assert parse("--engine.kind", "steam", "--engine.coal", "2.5") == SteamOptions(coal=2.5)
