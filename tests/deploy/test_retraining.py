"""What schedulers call is a command of recstack, and they know its exit codes."""

import ast
import configparser
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from recstack.config import load_config
from recstack.verbs.retrain import RetrainArguments, parse

FOLDER = Path(__file__).parents[2] / "deploy" / "retraining"
SERVICE, TIMER = FOLDER / "recstack-retrain.service", FOLDER / "recstack-retrain.timer"
FOR_A_PERSON = {2, 3}


def documents() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / "cronjob.yaml").read_text(encoding="utf-8")))


def job() -> dict[str, Any]:
    return documents()[0]["spec"]["jobTemplate"]["spec"]


def unit(path: Path) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None)
    # systemd's keys keep their case; the library's documented way to say so is an assignment, which mypy refuses.
    parsed.optionxform = str  # type: ignore[assignment,method-assign]
    parsed.read(path, encoding="utf-8")
    return parsed


def parsed(arguments: list[str], tmp_path: Path) -> RetrainArguments:
    """The arguments after `retrain`, with a configuration in place of the one that they name."""
    config = tmp_path / "stack.toml"
    config.write_text(load_config(None).to_toml())
    here = [str(config) if argument == "/etc/recstack/stack.toml" else argument for argument in arguments]
    assert str(config) in here
    return parse(RetrainArguments, "retrain", here)


def test_the_service_calls_the_command_and_knows_its_codes(tmp_path: Path) -> None:
    service = unit(SERVICE)["Service"]
    _, verb, *arguments = service["ExecStart"].split()
    assert verb == "retrain"
    parsed(arguments, tmp_path)
    assert service["Restart"] == "on-failure"
    assert {int(code) for code in service["RestartPreventExitStatus"].split()} >= FOR_A_PERSON


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    for path in (SERVICE, TIMER):
        text = path.read_text(encoding="utf-8").replace("/opt/recstack/bin/recstack", "/bin/true")
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    units = [tmp_path / SERVICE.name, tmp_path / TIMER.name]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], check=False, capture_output=True, text=True
    )
    complaints = [line for line in done.stderr.splitlines() if str(tmp_path) in line or "recstack" in line]
    assert (done.returncode, complaints) == (0, [])


def test_kubernetes_takes_the_manifest() -> None:
    for document in documents():
        kubernetes_validate.validate(document, "1.32", strict=True)


def test_the_job_calls_the_command_and_knows_its_codes(tmp_path: Path) -> None:
    (container,) = job()["template"]["spec"]["containers"]
    verb, *arguments = container["args"]
    assert verb == "retrain"
    assert parsed(arguments, tmp_path).resolved.workdir == Path("/srv/recstack")
    codes, _ = job()["podFailurePolicy"]["rules"]
    assert codes["onExitCodes"]["containerName"] == container["name"]
    assert set(codes["onExitCodes"]["values"]) == FOR_A_PERSON
    assert job()["template"]["spec"]["restartPolicy"] == "Never"  # what a policy for failures demands


def test_the_job_publishes_where_the_servers_look() -> None:
    spec = job()["template"]["spec"]
    claims = {volume["name"]: volume.get("persistentVolumeClaim", {}).get("claimName") for volume in spec["volumes"]}
    mounts = {claims[mount["name"]]: mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
    serving = yaml.safe_load((FOLDER.parent / "serving" / "kubernetes" / "volume.yaml").read_text(encoding="utf-8"))
    assert mounts[serving["metadata"]["name"]] == "/srv/recstack/saved_models"
    assert mounts[documents()[1]["metadata"]["name"]] == "/srv/recstack"


def test_airflow_knows_the_codes() -> None:
    tree = ast.parse((FOLDER / "airflow_dag.py").read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not any(str(module).startswith(("recstack", "features", "trainer")) for module in imported)
    (codes,) = [node.value for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict)]
    assert set(ast.literal_eval(codes)) == FOR_A_PERSON
