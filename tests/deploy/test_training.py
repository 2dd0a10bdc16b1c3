"""The recipes for several machines give every worker the `TF_CONFIG` that `recstack train --launch` would give it."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from recstack.launch import server_configs, worker_config

FOLDER = Path(__file__).parents[2] / "deploy" / "training"
Manifests = list[dict[str, Any]]


def manifests(name: str) -> Manifests:
    return list(yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")))


MANIFESTS, SERVERS = manifests("kubernetes.yaml"), manifests("parameter_servers.yaml")


def of_kind(kind: str, among: Manifests = MANIFESTS) -> dict[str, Any]:
    (found,) = [manifest for manifest in among if manifest["kind"] == kind]
    return found


def container(among: Manifests = MANIFESTS) -> dict[str, Any]:
    (found,) = of_kind("Job", among)["spec"]["template"]["spec"]["containers"]
    return found


def write_program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/bash\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """Stand-ins: `recstack` prints its arguments and TF_CONFIG, `srun` runs one task a node, one after the other."""
    write_program(tmp_path / "recstack", 'printf "%s\\n" "$*" "$TF_CONFIG"')
    write_program(tmp_path / "scontrol", 'test "$*" = "show hostnames n[1-3]" && printf "%s\\n" n1 n2 n3')
    write_program(tmp_path / "srun", 'for task in 0 1 2; do SLURM_PROCID=$task "$@"; done')
    return tmp_path


def run(command: list[str], programs: Path, **environment: str) -> list[str]:
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, env={"PATH": path, **environment}, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("manifest", [*MANIFESTS, *SERVERS], ids=lambda manifest: manifest["kind"])
def test_kubernetes_takes_the_manifest(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, "1.32", strict=True)


@pytest.mark.parametrize("index", [0, 1])
def test_each_pod_knows_all_pods_and_itself(programs: Path, index: int) -> None:
    job, service = of_kind("Job"), of_kind("Service")
    (workers,) = (variable["value"] for variable in container()["env"])
    assert int(workers) == job["spec"]["completions"] == job["spec"]["parallelism"] == 2
    assert service["spec"]["selector"] == job["spec"]["template"]["metadata"]["labels"]
    assert service["metadata"]["name"] == job["spec"]["template"]["spec"]["subdomain"]
    arguments, tf_config = run(container()["command"], programs, WORKERS=workers, JOB_COMPLETION_INDEX=str(index))
    assert arguments == "train --config /srv/recstack/recstack.toml --strategy multi_worker_mirrored"
    # An indexed pod's name is the Job's and its index, below the Service's name.
    name, port = job["metadata"]["name"], container()["ports"][0]["containerPort"]
    hosts = [f"{name}-{number}.{service['metadata']['name']}:{port}" for number in range(2)]
    assert json.loads(tf_config) == json.loads(worker_config(hosts, index))


@pytest.mark.parametrize("index", range(4))
def test_coordinator_workers_and_servers_know_each_other(programs: Path, index: int) -> None:
    job, service = of_kind("Job", SERVERS), of_kind("Service", SERVERS)
    environment = {variable["name"]: variable["value"] for variable in container(SERVERS)["env"]}
    pods, servers = job["spec"]["completions"], int(environment["SERVERS"])
    assert pods == job["spec"]["parallelism"] == 1 + int(environment["WORKERS"]) + servers == 4
    assert service["spec"]["selector"] == job["spec"]["template"]["metadata"]["labels"]
    assert service["metadata"]["name"] == job["spec"]["template"]["spec"]["subdomain"]
    arguments, tf_config = run(container(SERVERS)["command"], programs, JOB_COMPLETION_INDEX=str(index), **environment)
    assert arguments == "train retrieval --config /srv/recstack/recstack.toml --strategy parameter_server"
    name, port = job["metadata"]["name"], container(SERVERS)["ports"][0]["containerPort"]
    hosts = [f"{name}-{number}.{service['metadata']['name']}:{port}" for number in range(pods)]
    assert json.loads(tf_config) == json.loads(server_configs(hosts, servers)[index])


def test_servers_end_with_the_coordinator() -> None:
    """It has index 0, and its success is that of the whole Job."""
    (rule,) = of_kind("Job", SERVERS)["spec"]["successPolicy"]["rules"]
    assert rule == {"succeededIndexes": "0"}


def test_each_node_of_slurm_knows_all_nodes_and_itself(programs: Path) -> None:
    script = [str(FOLDER / "slurm.sh"), "--config", "with blank.toml"]
    lines = run(script, programs, SLURM_JOB_NODELIST="n[1-3]")
    assert lines[::2] == ["train --config with blank.toml --strategy multi_worker_mirrored"] * 3
    expected = [worker_config(["n1:2222", "n2:2222", "n3:2222"], index) for index in range(3)]
    assert [json.loads(line) for line in lines[1::2]] == [json.loads(line) for line in expected]


def test_what_the_manifest_mounts_is_claimed() -> None:
    for among in (MANIFESTS, SERVERS):
        (volume,) = of_kind("Job", among)["spec"]["template"]["spec"]["volumes"]
        assert volume["persistentVolumeClaim"]["claimName"] == of_kind("PersistentVolumeClaim")["metadata"]["name"]
        (mount,) = container(among)["volumeMounts"]
        assert volume["name"] == mount["name"]
