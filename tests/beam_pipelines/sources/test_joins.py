"""What a join finds, and which setting brings ids together that are spelt differently."""

import pyarrow as pa
import pytest

from beam_pipelines.sources.joins import join_coverage

IDS = [str(n) for n in range(1, 41)]


@pytest.mark.parametrize("known", [0, 1, 20, 40])
def test_the_share_is_that_of_the_logs_ids(known: int) -> None:
    table = [*IDS[:known], *(f"other {n}" for n in range(7))]
    found = join_coverage("items", pa.array(IDS), pa.array(table))
    assert (found.share, found.found, found.never_met, found.cause) == (known / 40, known, 7, "")
    assert found.lacking == tuple(IDS[known : known + 3])
    assert f"{known} of the log's 40 items" in str(found)


@pytest.mark.parametrize(
    ("spell", "cause", "setting"),
    [
        (lambda text: f" {text}", "white space", "strip = true"),
        (lambda text: f"{text}.0", "`.0`", 'float_suffix = "drop"'),
        (lambda text: text.zfill(8), "zeros", 'leading_zeros = "drop"'),
    ],
)
@pytest.mark.parametrize("in_log", [True, False])
def test_the_cause_and_its_setting_are_named(spell, cause: str, setting: str, in_log: bool) -> None:
    spelt, plain = pa.array([spell(text) for text in IDS]), pa.array(IDS)
    found = join_coverage("users", *((spelt, plain) if in_log else (plain, spelt)))
    side = "interactions" if in_log else "users"
    assert found.share == 0
    assert cause in found.cause
    assert found.mend == f"ids = {{ {setting} }} in pipeline.{side}"


@pytest.mark.parametrize(
    ("ours", "theirs", "setting"),
    [
        (["Ab", "Cd"], ["AB", "cd"], 'case = "lower"'),
        (["caf\u00e9", "na\u00efve"], ["cafe\u0301", "nai\u0308ve"], 'unicode = "NFC"'),
        (["12", "34"], ["\uff11\uff12", "\uff13\uff14"], 'unicode = "NFKC"'),
    ],
)
def test_letters_that_only_look_alike(ours: list[str], theirs: list[str], setting: str) -> None:
    assert setting in join_coverage("items", pa.array(ours), pa.array(theirs)).mend


@pytest.mark.parametrize(
    ("ids", "first"), [(["30", "4", "100", "9"], ("4", "9", "30")), (["b2", "b10", "a", "b1"], ("a", "b1", "b2"))]
)
def test_examples_stand_in_the_order_of_people(ids: list[str], first: tuple[str, ...]) -> None:
    assert join_coverage("items", pa.array(ids), pa.array(["x"])).lacking == first
    assert join_coverage("items", pa.array(["x"]), pa.array(ids)).unused == first


def test_no_ids_at_all_are_no_gap() -> None:
    assert join_coverage("items", pa.array([], pa.string()), pa.array(["1"])).share == 1
