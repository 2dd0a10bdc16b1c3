from dataclasses import replace

from recstack.config import StackConfig, parse_config
from recstack.tuning.document import changes, shown, tuned_text
from recstack.tuning.searched.retrieval import RETRIEVAL
from recstack.tuning.space import Space
from tests.recstack.tuning.conftest import SEQUENCES, facts

COMMENTED = SEQUENCES.replace("dropout = 0.5", "dropout = 0.5  # for 198,502 events").replace(
    "[retrieval]", "# Chosen by hand.\n[retrieval]"
)


def tuned(base: StackConfig, **params: object) -> StackConfig:
    space = Space(base=base, facts=facts(), searched=RETRIEVAL)
    return space.stack_of(space.start() | {name.replace("__", "."): v for name, v in params.items()})


def test_only_changed_fields_differ(base: StackConfig) -> None:
    best = tuned(
        base,
        dimension=128,
        encoder__dropout=0.3,
        encoder__layers=2,
        encoder__side_features=True,
        optimizer__learning_rate=0.001,
    )
    text = tuned_text(COMMENTED, best, ["The best."])
    assert parse_config(text) == best
    was, now = COMMENTED.splitlines(), text.splitlines()
    assert now[0] == "# The best."
    assert [line for line in was if line not in now] == ["dimension = 64", "dropout = 0.5  # for 198,502 events"]
    assert [line for line in now[1:] if line not in was] == [
        "dimension = 128 # tuned: 64 before",
        "dropout = 0.3 # tuned: 0.5 before",
        "side_features = true # tuned: False before",
        "layers = 2 # tuned: 1 before",
        "[retrieval.optimizer]",
        "learning_rate = 0.001 # tuned: 0.003 before",
    ]


def test_another_kind_loses_the_options_of_the_former(base: StackConfig) -> None:
    wider = tuned(base, encoder__layers=2)
    text = tuned_text(wider.to_toml(), tuned(wider, encoder__kind="gru", ensemble="gru"), [])
    found = parse_config(text).retrieval
    assert type(found.encoder).__name__ == "GRUConfig"
    assert "heads" not in text
    assert [type(member).__name__ for member in found.ensemble] == ["GRUConfig"]


def test_an_unchanged_configuration_stays_as_it_is(base: StackConfig) -> None:
    assert tuned_text(COMMENTED, base, []) == COMMENTED


def test_flags_are_written_down_too(base: StackConfig) -> None:
    flagged = replace(base, seed=3)
    assert parse_config(tuned_text(COMMENTED, flagged, [])) == flagged


def test_a_file_of_another_form_is_read_the_same(base: StackConfig) -> None:
    table = '[retrieval.encoder]\nkind = "transformer"\ndropout = 0.5\n'
    inline = SEQUENCES.replace(table, "").replace(
        "[retrieval]\n", '[retrieval]\nencoder = { kind = "transformer", dropout = 0.5 }\n'
    )
    assert parse_config(inline) == base
    best = tuned(base, encoder__kind="recency", dimension=32)
    assert parse_config(tuned_text(inline, best, [])) == best


def test_changes_are_told_in_a_line(base: StackConfig) -> None:
    best = tuned(base, dimension=128, ensemble="gru")
    assert [shown(change) for change in changes(base, best)] == ["dimension 64 -> 128", "ensemble none -> gru"]
