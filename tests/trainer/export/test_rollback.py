"""A former version under the next number: the same files, and a manifest that says so."""

from pathlib import Path

import pytest

from features.disk.exported import ModelLayout
from features.disk.manifest import Manifest, read_manifest
from features.errors import InputError
from trainer.export.publish import publish as publish_staged
from trainer.export.publish import staging
from trainer.export.rollback import former_version, roll_back, was_rolled_back


def publish(layout: ModelLayout, made_from: str) -> None:
    with staging(layout) as staged:
        (staged.directory / "saved_model.pb").write_text(made_from)
        manifest = Manifest(kind="saved_model", schema_fingerprint="s", inputs={"run": made_from})
        manifest.write(staged.extra.manifest)
    publish_staged(staged)


@pytest.fixture
def layout(tmp_path: Path) -> ModelLayout:
    layout = ModelLayout(tmp_path / "retrieval")
    for made_from in ("a", "b", "c"):
        publish(layout, made_from)
    return layout


def test_the_version_before_the_newest_becomes_the_newest(layout: ModelLayout) -> None:
    assert roll_back(layout, former_version(layout)) == 4
    assert layout.current == 4
    assert (layout.version(4) / "saved_model.pb").read_text() == "b"
    assert read_manifest(layout.manifest(4), "saved_model").inputs == {"run": "b"}


def test_former_versions_stay_as_they_were_and_share_the_files(layout: ModelLayout) -> None:
    roll_back(layout, 1)
    assert read_manifest(layout.manifest(1), "saved_model").config == {}
    assert (layout.version(4) / "saved_model.pb").samefile(layout.version(1) / "saved_model.pb")


def test_what_was_rolled_back_is_not_published_again(layout: ModelLayout) -> None:
    roll_back(layout, 1)
    assert was_rolled_back(layout.manifest(4), {"run": "c"})
    assert not was_rolled_back(layout.manifest(4), {"run": "d"})
    assert not was_rolled_back(layout.manifest(3), {"run": "c"})


def test_by_default_a_version_that_was_rolled_back_is_passed_over(layout: ModelLayout) -> None:
    roll_back(layout, former_version(layout))  # a b c, and b again as 4
    assert former_version(layout) == 1
    roll_back(layout, former_version(layout))  # a again as 5: b and c are out, a is what it is already
    with pytest.raises(InputError, match="was not rolled back expected, 1, 2, 3, 4, 5 found; --to names any"):
        former_version(layout)
    assert former_version(layout, 3) == 3
    publish(layout, "c")  # by a person who knows better
    publish(layout, "d")
    assert former_version(layout) == 6


@pytest.mark.parametrize("wanted", [3, 9, 0])
def test_a_version_that_is_not_a_former_one_is_refused(layout: ModelLayout, wanted: int) -> None:
    with pytest.raises(InputError, match=f"version {wanted} expected, 1, 2, 3 found"):
        former_version(layout, wanted)


def test_nothing_to_go_back_to_is_a_clear_error(tmp_path: Path) -> None:
    layout = ModelLayout(tmp_path / "retrieval")
    with pytest.raises(InputError, match="no earlier version to go back to; published: none"):
        former_version(layout)
    publish(layout, "a")
    with pytest.raises(InputError, match="no earlier version to go back to; published: 1"):
        former_version(layout)
