"""What one worker of several may do, on clusters that this process only claims to be part of."""

import subprocess
import sys
from pathlib import Path

import pytest

from features.disk.layout import DatasetLayout, RunLayout
from features.disk.manifest import StageResult
from features.errors import ConfigError, InputError
from recstack.launch import server_configs, worker_config
from tests.trainer.small_dataset import SCHEMA
from trainer.config.retrieval import RetrievalConfig
from trainer.retrieval.stage import RetrievalStage
from trainer.stage import train_stage
from trainer.training.cluster import Cluster, make_cluster
from trainer.training.progress import Progress
from trainer.training.stage import StageContext

CHIEF, OTHER = Cluster(num_workers=2, worker=0), Cluster(num_workers=2, worker=1)


def train(dataset: DatasetLayout, root: Path, cluster: Cluster, reports: list[Progress]) -> StageResult:
    context = StageContext(
        schema=SCHEMA, dataset=dataset, run=RunLayout(root), cluster=cluster, progress=reports.append
    )
    return train_stage(context, RetrievalStage(config=RetrievalConfig(dimension=4, epochs=2, batch_size=8)))


@pytest.mark.slow
def test_only_the_chief_writes_the_run_and_reports(
    small_dataset: DatasetLayout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary, run = tmp_path / "temporary", tmp_path / "run"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    reports: list[Progress] = []
    metrics = train(small_dataset, run, OTHER, reports).manifest.metrics
    assert not run.exists()
    assert not list(temporary.glob("recstack-*"))
    assert not reports
    assert train(small_dataset, run, CHIEF, reports).manifest.metrics == metrics
    assert RunLayout(run).stage("retrieval").manifest.exists()
    assert reports
    # What the chief has finished is finished for all.
    assert train(small_dataset, run, OTHER, reports).nothing_to_do


def test_other_workers_write_in_a_place_that_goes_with_the_block(tmp_path: Path) -> None:
    with CHIEF.writable(tmp_path / "run") as place:
        assert place == tmp_path / "run"
    with OTHER.writable(tmp_path / "run") as place:
        assert tmp_path not in place.parents
        place.mkdir()
    assert not place.exists()


def test_the_chief_holds_the_lock_for_all(tmp_path: Path) -> None:
    with CHIEF.exclusive(tmp_path, "recstack train"):
        with OTHER.exclusive(tmp_path, "recstack train"):
            pass
        with (
            pytest.raises(InputError, match="another `recstack train`"),
            Cluster().exclusive(tmp_path, "recstack train"),
        ):
            pass


def test_a_lonely_worker_agrees_with_itself() -> None:
    metrics = {"ndcg@20": 0.25}
    assert make_cluster("default").agree(metrics) is metrics


AGREE = """
import features, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 3)
from trainer.training.cluster import Cluster
cluster = Cluster(strategy=tf.distribute.MirroredStrategy(["CPU:0", "CPU:1", "CPU:2"]), num_workers=2)
assert cluster.num_replicas == 3
assert cluster.agree({"a": 1 / 3, "b": -2.0}) == {"a": 1 / 3, "b": -2.0}
traced = cluster._sum_of_first.experimental_get_tracing_count()
assert cluster.agree({"a": 5.0, "b": 1 / 7}) == {"a": 5.0, "b": 1 / 7}
assert cluster._sum_of_first.experimental_get_tracing_count() == traced
"""


@pytest.mark.slow
def test_values_count_once_however_many_replicas_sum_them() -> None:
    done = subprocess.run([sys.executable, "-c", AGREE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_unknown_strategy_is_refused() -> None:
    with pytest.raises(ConfigError, match="one of default, mirrored, multi_worker_mirrored, parameter_server"):
        make_cluster("central_storage")  # type: ignore[arg-type]  # a name that the type does not allow


WORKERS = worker_config(["a:1", "b:1"], 2)
NOT_A_WORKER = worker_config(["a:1"], 0).replace('"type": "worker"', '"type": "ps"')


@pytest.mark.parametrize("tf_config", ["", "not JSON", "[]", "{}", WORKERS, NOT_A_WORKER])
def test_workers_must_be_named(monkeypatch: pytest.MonkeyPatch, tf_config: str) -> None:
    monkeypatch.setenv("TF_CONFIG", tf_config)
    with pytest.raises(ConfigError, match=r"TF_CONFIG to name this worker and all others.*--launch 2"):
        make_cluster("multi_worker_mirrored")


ONLY_WORKERS = worker_config(["a:1", "b:1"], 0)
NO_SERVER = server_configs(["a:1", "b:1"], 0)[0]
TWO_CHIEFS = server_configs(["a:1", "b:1", "c:1"], 1)[0].replace('["a:1"]', '["a:1", "d:1"]')
AN_EVALUATOR = server_configs(["a:1", "b:1", "c:1"], 1)[0].replace('"type": "chief"', '"type": "evaluator"')


@pytest.mark.parametrize("tf_config", ["", "not JSON", "{}", ONLY_WORKERS, NO_SERVER, TWO_CHIEFS, AN_EVALUATOR])
def test_coordinator_workers_and_servers_must_be_named(monkeypatch: pytest.MonkeyPatch, tf_config: str) -> None:
    monkeypatch.setenv("TF_CONFIG", tf_config)
    with pytest.raises(ConfigError, match=r"TF_CONFIG to name one chief, workers and parameter servers.*--servers 1"):
        make_cluster("parameter_server")


@pytest.mark.parametrize("name", ["", "local"])
def test_a_machine_without_a_tpu_is_told_so(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.delenv("TPU_NAME", raising=False)
    if name:
        monkeypatch.setenv("TPU_NAME", name)
    with pytest.raises(ConfigError, match=r"strategy = 'tpu': expected a TPU at this machine, or .* TPU_NAME") as told:
        make_cluster("tpu")
    assert "\n" not in str(told.value)


def test_parameter_servers_with_one_thread_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_CONFIG", server_configs(["a:1", "b:1", "c:1"], 1)[0])
    monkeypatch.setenv("TF_NUM_INTEROP_THREADS", "1")
    with pytest.raises(InputError, match=r"TF_NUM_INTEROP_THREADS=1.*unset it"):
        make_cluster("parameter_server")


def test_a_process_has_one_mirrored_strategy() -> None:
    """Each numbers its exchanges from the start, and TensorFlow tells them apart by these numbers alone."""
    assert make_cluster("mirrored").strategy is make_cluster("mirrored").strategy
