from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from features.errors import ConfigError
from features.kinds import Kinds, kinds_of
from features.serialization import structure, unstructure


@dataclass(frozen=True, kw_only=True)
class Shape:
    colour: str = "black"

    def __post_init__(self) -> None:
        if not self.colour:
            raise ConfigError(".colour", self.colour, "a colour")


@dataclass(frozen=True, kw_only=True)
class CircleOptions(Shape):
    radius: float = 1.0


@dataclass(frozen=True, kw_only=True)
class PathOptions(Shape):
    folder: Path


class Circle:
    pass


SHAPES = Kinds(Shape, {"circle": (CircleOptions, Circle), "path": (PathOptions, "pathlib:PurePosixPath")})


@dataclass(frozen=True, kw_only=True)
class Drawing:
    shape: Shape = field(default_factory=CircleOptions)
    others: tuple[Shape, ...] = ()
    frame: Mapping[str, Shape] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SquareOptions(Shape):
    side: int = 2


class Square:
    pass


@pytest.fixture
def square() -> Iterator[None]:
    with SHAPES.registered("square", SquareOptions, Square):
        yield


def test_table_becomes_the_options_of_its_kind() -> None:
    drawing = structure({"shape": {"kind": "path", "folder": "here", "colour": "red"}}, Drawing)
    assert drawing.shape == PathOptions(folder=Path("here"), colour="red")


def test_drawing_reads_as_it_was_written() -> None:
    written = {
        "shape": {"kind": "circle", "colour": "black", "radius": 3.0},
        "others": [{"kind": "path", "folder": "x"}],
    }
    drawing = structure(written, Drawing)
    assert unstructure(drawing)["shape"] == written["shape"]
    assert structure(unstructure(drawing), Drawing) == drawing


def test_options_alone_are_written_with_their_kind() -> None:
    assert unstructure(CircleOptions(radius=2.0)) == {"kind": "circle", "colour": "black", "radius": 2.0}
    assert structure({"kind": "circle", "radius": 2.0}, Shape) == CircleOptions(radius=2.0)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"kind": "cube"}, "drawing.shape.kind = 'cube': expected one of circle, path"),
        ({"radius": 1.0}, "drawing.shape.kind = None: expected one of circle, path"),
        ({"kind": ["circle"]}, "drawing.shape.kind = ['circle']: expected one of circle, path"),
        (
            {"kind": "path", "folder": "x", "radius": 1.0},
            "drawing.shape.radius = 1.0: expected an option of kind 'path': colour, folder",
        ),
        ({"kind": "circle", "radius": "1"}, "drawing.shape.radius = '1': expected a value of type int or float"),
        ({"kind": "path"}, "drawing.shape.folder = None: expected a value; the field is required"),
        ({"kind": "circle", "colour": ""}, "drawing.shape.colour = '': expected a colour"),
        (3, "drawing.shape = 3: expected a table"),
    ],
)
def test_mistake_is_named_with_what_would_be_right(table: object, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        structure({"shape": table}, Drawing, "drawing")
    assert str(error.value) == message


def test_mistake_in_a_list_is_named_by_its_place() -> None:
    with pytest.raises(ConfigError, match=r"^others\[1\]\.kind = 'cube'"):
        structure({"others": [{"kind": "circle"}, {"kind": "cube"}]}, Drawing)


def test_default_is_the_kind_of_a_table_that_names_none() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Base:
        pass

    @dataclass(frozen=True, kw_only=True)
    class One(Base):
        number: int = 1

    Kinds(Base, {"one": (One, Circle)}, default="one")
    assert structure({"number": 2}, Base) == One(number=2)
    with pytest.raises(ValueError, match="has a table of kinds already"):
        Kinds(Base, {"one": (One, Circle)})


def test_class_is_imported_when_it_is_asked_for() -> None:
    from pathlib import PurePosixPath

    assert SHAPES.implementation(PathOptions(folder=Path())) is PurePosixPath
    assert SHAPES.implementation(CircleOptions()) is Circle


@pytest.mark.usefixtures("square")
def test_kind_from_outside_is_a_kind_like_the_others() -> None:
    drawing = structure({"others": [{"kind": "square", "side": 4}]}, Drawing)
    assert drawing.others == (SquareOptions(side=4),)
    assert SHAPES.implementation(drawing.others[0]) is Square
    assert unstructure(drawing)["others"] == [{"kind": "square", "colour": "black", "side": 4}]


def test_kind_from_outside_is_gone_afterwards() -> None:
    with SHAPES.registered("square", SquareOptions, Square):
        assert SHAPES.names == ("circle", "path", "square")
    assert SHAPES.names == ("circle", "path")
    with pytest.raises(KeyError, match="SquareOptions is not in the table of Shape"):
        SHAPES.name_of(SquareOptions())


@pytest.mark.parametrize(
    ("name", "options"), [("circle", SquareOptions), ("disc", CircleOptions), ("shape", Shape), ("other", Drawing)]
)
def test_kind_needs_a_name_and_options_of_its_own(name: str, options: type[Shape]) -> None:
    with pytest.raises(ValueError, match=name), SHAPES.registered(name, options, Square):
        pass


def test_table_is_found_by_the_base_and_by_each_kind() -> None:
    assert kinds_of(Shape) is kinds_of(PathOptions) is SHAPES
    assert kinds_of(Drawing) is kinds_of(tuple[Shape, ...]) is None
