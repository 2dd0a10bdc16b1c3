"""Nights of `recstack retrain` on the checkerboard."""

import csv
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from features.disk.layout import MODEL_NAMES, RetrainingLayout
from features.disk.manifest import read_manifest
from recstack.__main__ import main
from recstack.config import StackConfig
from recstack.retraining.config import BudgetsRule, GateConfig, RetrainConfig
from recstack.retraining.record import read_records
from recstack.retraining.registry import registered_runs
from recstack.retraining.samples import SHOWN_USERS, read_samples
from tests.checkerboard import DISLIKED, LIKED, likes
from trainer.export import publish, saving
from trainer.export.assembly import Assembly
from trainer.export.labels import stable_versions
from trainer.export.publish import StagedVersion

pytestmark = pytest.mark.slow

# A timing decides no test.
GATE = GateConfig(cutoff=2, metric="recall", budgets=BudgetsRule(largest_p99=60_000.0, seconds=0.2))
A_DAY = 86_400


@pytest.fixture(scope="module")
def first(checkerboard: StackConfig, tmp_path_factory: pytest.TempPathFactory) -> StackConfig:
    """The checkerboard after a first night; its dataset and its run were there before, its models are new."""
    work = tmp_path_factory.mktemp("nights") / "work"
    for part in ("dataset", "runs"):
        shutil.copytree(checkerboard.workdir / part, work / part)
    stack = replace(checkerboard, workdir=work, gate=GATE)
    assert night(stack) == 0
    return stack


@pytest.fixture
def stack(first: StackConfig, tmp_path: Path) -> StackConfig:
    """What the first night left, for one test alone."""
    shutil.copytree(first.workdir, tmp_path / "work")
    return replace(first, workdir=tmp_path / "work")


def night(stack: StackConfig, *flags: str) -> int:
    config = stack.workdir.parent / "stack.toml"
    config.write_text(stack.to_toml())
    return main(["retrain", "--config", str(config), *flags])


def rollback(stack: StackConfig, reason: str) -> int:
    return main(["rollback", "--config", str(stack.workdir.parent / "stack.toml"), "--reason", reason])


def versions(stack: StackConfig) -> dict[str, list[int]]:
    return {model: stack.layout.model(model).versions() for model in MODEL_NAMES}


def all_at(*numbers: int) -> dict[str, list[int]]:
    return {model: list(numbers) for model in MODEL_NAMES}


def newest_retraining(stack: StackConfig) -> RetrainingLayout:
    return stack.layout.retrainings.retraining(read_records(stack.layout.retrainings)[0].id)


def refused_by(stack: StackConfig) -> list[str]:
    """What `gate.json` of the last retraining says, which its checks bear out."""
    gate = json.loads(newest_retraining(stack).gate.read_text())
    refused = {check["rule"] for check in gate["checks"] if check["verdict"] == "refused"}
    assert refused == set(gate["refused_by"])
    return gate["refused_by"]


def attempts(stack: StackConfig) -> list[tuple[str, str]]:
    """How each call ended and its last step; all calls that came to the gate name their retraining."""
    found = [json.loads(line) for line in stack.layout.retrainings.attempts.read_text().splitlines()]
    known = {record.id for record in read_records(stack.layout.retrainings)}
    assert {attempt["retraining"] for attempt in found} <= known
    return [(attempt["outcome"], attempt["step"]) for attempt in found]


def on_the_next_day(stack: StackConfig, changed: Callable[[dict[str, str]], None] = lambda row: None) -> StackConfig:
    """The next day's export of the log: the same events a day later, each changed by a function."""
    table = stack.workdir.parent / "interactions.csv"
    with Path(stack.pipeline.interactions.path).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["timestamp"] = str(int(row["timestamp"]) + A_DAY)
        changed(row)
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    interactions = replace(stack.pipeline.interactions, path=str(table))
    return replace(stack, pipeline=replace(stack.pipeline, interactions=interactions))


def shuffle_ratings(row: dict[str, str]) -> None:
    """As many are liked as before, but nobody can know which."""
    draw = random.Random(row["user_id"] + row["item_id"])
    row["rating"] = str(LIKED if draw.random() < 2 / 3 else DISLIKED)


def test_a_first_model_passes_by_the_rules_that_need_no_other(first: StackConfig) -> None:
    assert versions(first) == all_at(1)
    (record,) = read_records(first.layout.retrainings)
    assert (record.outcome, record.refused_by, record.run) == ("published", (), first.layout.current_run.id)
    assert refused_by(first) == []
    checks = json.loads(newest_retraining(first).gate.read_text())["checks"]
    assert {check["rule"] for check in checks} == {"baselines", "index", "parity", "budgets", "coverage", "data"}
    assert {check["what"] for check in checks if check["rule"] == "parity"} == {
        "largest difference of query vectors of retrieval, served and trained",
        "largest difference of predictions of label by ranking, served and trained",
    }
    assert not newest_retraining(first).staged.saved_models.exists()
    assert attempts(first) == [("published", "publish")]


def test_a_second_night_without_new_data_does_nothing(stack: StackConfig, capsys: pytest.CaptureFixture[str]) -> None:
    assert night(stack) == 0
    assert versions(stack) == all_at(1)
    assert "nothing to do: the live models were made from these data and settings" in capsys.readouterr().out
    assert attempts(stack)[-1] == ("nothing to do", "evaluate")
    assert night(stack, "--dry-run", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert not any(step["is_due"] for step in plan["steps"])
    assert plan["outcome"] == "the live models were made from these data and settings"
    # New data are due in every step, and nothing is done about it.
    assert night(on_the_next_day(stack), "--dry-run", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert all(step["is_due"] for step in plan["steps"])
    assert {step["name"]: step["seconds"] is None for step in plan["steps"]} == {
        **dict.fromkeys(("prepare", "train", "evaluate"), True),  # the first night found these done
        **dict.fromkeys(("export", "gate", "publish"), False),
    }
    assert versions(stack) == all_at(1)


def test_a_warm_night_goes_on_from_the_run_before(stack: StackConfig) -> None:
    former = stack.layout.current_run
    warm = on_the_next_day(replace(stack, retrain=RetrainConfig(warm_start=True)))
    assert night(warm) == 0
    current = warm.layout.current_run
    assert versions(warm) == all_at(1, 2)
    for name in warm.stage_names:
        inputs = read_manifest(current.stage(name).manifest, "run").inputs
        assert inputs.get("start_from") == (former.id if name != "list_ranking" else None)
    # The same data again: nothing to do, though the current run is another one now.
    assert night(warm) == 0
    assert versions(warm) == all_at(1, 2)
    assert warm.layout.current_run == current


def test_a_good_night_is_published_as_a_canary_until_it_is_promoted(
    stack: StackConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = replace(on_the_next_day(stack), retrain=RetrainConfig(publication="canary"))
    before = stack.layout.current_run.id
    assert night(stack) == 0
    assert versions(stack) == all_at(1, 2)
    assert stable_versions(stack.layout) == dict.fromkeys(MODEL_NAMES, 1)
    second, _ = read_records(stack.layout.retrainings)
    assert (second.outcome, second.parent, second.published) == ("published", before, dict.fromkeys(MODEL_NAMES, 2))
    assert stack.layout.current_run.id == second.run != before
    assert "published as canary, which `recstack promote` makes stable: " in capsys.readouterr().out
    served = {run.id: (run.serves, run.canary) for run in registered_runs(stack.layout)}
    assert served == {before: (MODEL_NAMES, ()), second.run: ((), MODEL_NAMES)}
    samples = read_samples(newest_retraining(stack).samples)
    assert samples is not None
    assert (samples.model, len(samples.users)) == ("recommender", SHOWN_USERS)
    for user in samples.users:
        assert len(user.before) == len(user.after) == GATE.cutoff
        assert user.wanted
        assert all(likes(user.name, item) for item in (*user.wanted, *user.history))
        assert not set(user.history) & set(user.wanted)
        assert samples.title(user.after[0]).endswith(f" film {user.after[0][1:]}")
    report = newest_retraining(stack).report.read_text("utf-8")
    for heading in ("Sample users", "What changed since the run before", "Drift of the data", "Training of retrieval"):
        assert f"<h2>{heading}</h2>" in report
    assert main(["promote", "--config", str(stack.workdir.parent / "stack.toml")]) == 0
    assert stable_versions(stack.layout) == dict.fromkeys(MODEL_NAMES, 2)
    served = {run.id: (run.serves, run.canary) for run in registered_runs(stack.layout)}
    assert served == {before: ((), ()), second.run: (MODEL_NAMES, ())}

    # Both nights kept what their data look like: the same events, a day apart.
    capsys.readouterr()
    flags = ["--config", str(stack.workdir.parent / "stack.toml"), "--json"]
    assert main(["compare", before, "current", *flags]) == 0
    drift = json.loads(capsys.readouterr().out)["drift"]
    assert drift["label"] == pytest.approx(0.0, abs=0.01)
    assert {feature.name for feature in stack.features.candidate} <= drift.keys()


def test_an_index_of_the_wrong_vectors_is_refused(stack: StackConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    right = vars(Assembly)["vectors"].func
    monkeypatch.setattr(Assembly, "vectors", property(lambda assembly: right(assembly)[::-1].copy()))
    assert night(replace(stack, index=replace(stack.index, tuned_k=4))) == 3
    assert {"index", "quality"} <= set(refused_by(stack))
    assert "parity" not in refused_by(stack)
    assert versions(stack) == all_at(1)


def test_a_bad_night_is_refused_unless_a_person_knows_better(
    stack: StackConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stack, run = on_the_next_day(stack, shuffle_ratings), stack.layout.current_run.id
    # The labels are wrong: the models are refused and kept, and the live ones stay.
    assert night(stack) == 3
    assert "refused by" in capsys.readouterr().out
    assert versions(stack) == all_at(1)
    assert "quality" in refused_by(stack)
    refused = read_records(stack.layout.retrainings)[0]
    assert refused.outcome == "refused"
    assert newest_retraining(stack).staged.model("retrieval").versions() == [1]
    assert stack.layout.current_run.id == run

    # The same night again is judged by what is known.
    assert night(stack) == 3
    assert "gate: nothing to do" in capsys.readouterr().err
    assert night(stack, "--dry-run", "--json") == 0
    assert "were refused by" in json.loads(capsys.readouterr().out)["outcome"]
    # Another gate is another question.
    assert night(stack, "--dry-run", "--json", "--gate.quality.margin", "0.5") == 0
    plan = json.loads(capsys.readouterr().out)
    assert [step["name"] for step in plan["steps"] if step["is_due"]] == ["gate", "publish"]

    # Who has lost the lease publishes nothing, even if all is in place.
    with monkeypatch.context() as patched:
        patched.setattr(publish, "stage_copy", overtaken(stack.layout.retrainings.lease, publish.stage_copy))
        assert night(stack, "--force", "--reason", "in vain") == 1
    assert "has taken it over; nothing more is done here" in capsys.readouterr().err
    stack.layout.retrainings.lease.unlink()
    assert versions(stack) == all_at(1)

    # An end between two publications is made good by the next call.
    with monkeypatch.context() as patched:
        patched.setattr(saving, "publish_version", ends_after_the_first(saving.publish_version))
        assert night(stack, "--force", "--reason", "the shop was turned inside out") == 130
    assert sorted(versions(stack).values()) == [[1], [1], [1], [1, 2]]
    assert night(stack, "--force", "--reason", "the shop was turned inside out") == 0
    assert versions(stack) == all_at(1, 2)
    forced = read_records(stack.layout.retrainings)[0]
    assert (forced.id, forced.outcome, forced.refused_by) == (refused.id, "published", refused.refused_by)
    assert forced.forced == "the shop was turned inside out"
    assert stack.layout.current_run.id == forced.run != run

    # Taken back, these models do not return by themselves; the run of what is served again is the current one.
    assert rollback(stack, "complaints") == 0
    assert read_records(stack.layout.retrainings)[0].rolled_back == "complaints"
    assert stack.layout.current_run.id == run
    assert night(stack) == 0
    assert versions(stack) == all_at(1, 2, 3)
    assert "were rolled back" in capsys.readouterr().out
    assert night(stack, "--dry-run", "--json") == 0
    assert "were rolled back" in json.loads(capsys.readouterr().out)["outcome"]

    # A person may publish them again; both reasons stay, and a rollback by then goes to the good models.
    assert night(stack, "--force", "--reason", "the complaints were about prices") == 0
    assert versions(stack) == all_at(2, 3, 4)
    again = read_records(stack.layout.retrainings)[0]
    assert (again.id, again.rolled_back, again.earlier_rollbacks) == (forced.id, "", ("complaints",))
    assert (again.published, again.forced) == (dict.fromkeys(MODEL_NAMES, 4), "the complaints were about prices")
    assert stack.layout.current_run.id == again.run
    assert rollback(stack, "once more") == 0
    assert read_manifest(stack.layout.model("retrieval").manifest(5), "saved_model").config["rollback"]["of"] == 3
    assert read_records(stack.layout.retrainings)[0].rolled_back == "once more"
    assert attempts(stack)[1:] == [
        ("refused", "gate"),
        ("refused", "gate"),
        ("failed", "publish"),
        ("failed", "publish"),
        ("published", "publish"),
        ("nothing to do", "evaluate"),
        ("published", "publish"),
    ]


def overtaken(lease: Path, stage: Callable[..., StagedVersion]) -> Callable[..., StagedVersion]:
    """Stages a version, while another process takes over the lease."""

    def stage_and_lose(*arguments: object) -> StagedVersion:
        lease.write_text(json.dumps(json.loads(lease.read_text("utf-8")) | {"name": "another"}), "utf-8")
        return stage(*arguments)

    return stage_and_lose


def ends_after_the_first(publish: Callable[..., int]) -> Callable[..., int]:
    """Publishes once; the next call ends as if Ctrl-C had been pressed."""
    calls: list[int] = []

    def publish_once(*arguments: object) -> int:
        if calls:
            raise KeyboardInterrupt
        calls.append(publish(*arguments))
        return calls[0]

    return publish_once
