"""`recstack promote` and `recstack rollback` move the label `stable`, over versions that nobody has trained."""

from dataclasses import replace

import pytest
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from features.disk.manifest import Manifest
from recstack.__main__ import main
from recstack.config import StackConfig
from recstack.retraining.record import read_records
from recstack.retraining.release import canaries, live_versions, newest_versions
from tests.recstack.retraining.evidence import RECORD
from trainer.export.labels import stable_versions


def run(verb: str, stack: StackConfig, *flags: str) -> int:
    path = stack.workdir.parent / "stack.toml"
    path.write_text(stack.to_toml())
    return main([verb, "--config", str(path), *flags])


def test_with_a_canary_the_stable_version_is_the_live_one(canary_stack: StackConfig) -> None:
    assert newest_versions(canary_stack) == dict.fromkeys(canary_stack.export.models, 2)
    assert live_versions(canary_stack) == canaries(canary_stack) == dict.fromkeys(canary_stack.export.models, 1)


def test_promotion_makes_the_newest_version_stable(
    canary_stack: StackConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("promote", canary_stack) == 0
    assert stable_versions(canary_stack.layout) == dict.fromkeys(canary_stack.export.models, 2)
    assert canaries(canary_stack) == {}
    assert "retrieval: version 2 is stable instead of 1" in capsys.readouterr().err
    assert run("promote", canary_stack) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_rollback_of_a_canary_returns_to_the_stable_version(canary_stack: StackConfig) -> None:
    layout = canary_stack.layout.model("retrieval")
    Manifest(kind="saved_model", schema_fingerprint="s", inputs={"run": "3"}).write(layout.manifest(3))
    assert run("rollback", canary_stack, "retrieval") == 0
    # Version 2 is the one before the newest, but 1 is the stable one.
    assert layout.versions() == [1, 2, 3, 4]
    manifest = layout.manifest(4).read_text("utf-8")
    assert '"run": "1"' in manifest
    # Both labels name version 1, which servers have loaded.
    assert stable_versions(canary_stack.layout)["retrieval"] == 1
    assert "retrieval" not in canaries(canary_stack)
    assert "ranking" in canaries(canary_stack)
    written = text_format.Parse(
        canary_stack.layout.server_file("canary_labels").read_text("utf-8"), ModelServerConfig()
    )
    (config,) = [each for each in written.model_config_list.config if each.name == "retrieval"]
    assert dict(config.version_labels) == {"stable": 1, "canary": 1}
    assert list(config.model_version_policy.specific.versions) == [1]
    assert run("promote", canary_stack) == 0
    assert stable_versions(canary_stack.layout)["retrieval"] == 1


def test_the_reason_of_a_rollback_is_kept_with_the_retraining(canary_stack: StackConfig) -> None:
    record = replace(RECORD, id="r", outcome="published", published={"retrieval": 2, "ranking": 2})
    layout = canary_stack.layout.retrainings
    record.write(layout.retraining("r"))
    replace(record, id="s", published={"retrieval": 1}).write(layout.retraining("s"))
    assert run("rollback", canary_stack, "retrieval", "--reason", "complaints") == 0
    assert {each.id: each.rolled_back for each in read_records(layout)} == {"r": "complaints", "s": ""}
