"""`run_server` as a process: signals, exit codes, and one line where it cannot start."""

import signal
import socket
import subprocess
import sys

import pytest

from features.errors import InputError
from serving.app import EXIT_FAILED_START, check_ports, run_server
from serving.config import ServerConfig

COMMAND = [
    sys.executable,
    "-c",
    "import sys; from serving.app import run_server; from serving.flags import parse_flags; "
    "sys.exit(run_server(parse_flags(sys.argv[1:])))",
]


def serve(*flags):
    return subprocess.Popen([*COMMAND, *flags], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_version_exits_at_once(capsys):
    assert run_server(ServerConfig(version=True)) == 0
    assert "TensorFlow Library: 2.20" in capsys.readouterr().out


def test_a_port_in_use_is_found_before_anything_slow(free_port):
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", free_port))
        taken.listen()
        with pytest.raises(InputError, match=f"--port={free_port}: cannot listen there: Address already in use"):
            check_ports(ServerConfig(port=free_port))
        process = serve(f"--port={free_port}", "--model_base_path=/nowhere")
        _, errors = process.communicate(timeout=60)
    assert process.returncode == EXIT_FAILED_START
    assert errors.splitlines() == [
        f"Failed to start server. Error: --port={free_port}: cannot listen there: Address already in use"
    ]


@pytest.mark.slow
def test_it_serves_until_sigterm(tiny_model, free_port, x):
    from serving.client import RecommenderClient, Retries

    process = serve(f"--port={free_port}", "--model_name=tiny", f"--model_base_path={tiny_model}")
    try:
        lines = iter(process.stderr.readline, "")
        assert any("Running ModelServer" in line for line in lines)
        with RecommenderClient(f"127.0.0.1:{free_port}", model="tiny", retries=Retries(attempts=5)) as client:
            assert client.predict({"x": x})["y"].tolist() == [2.5, 3.0, 4.5]
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_base_path_that_is_not_there_is_said_once_and_waited_for(free_port, tmp_path):
    process = serve(f"--port={free_port}", f"--model_base_path={tmp_path}/later")
    try:
        lines = iter(process.stderr.readline, "")
        assert any(f"Could not find base path {tmp_path}/later" in line for line in lines)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 0
        assert "Could not find base path" not in errors
    finally:
        process.kill()
        process.wait()


def test_no_model_at_all_says_what_to_give(free_port):
    process = serve(f"--port={free_port}")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == EXIT_FAILED_START
    assert errors.splitlines() == [
        "Failed to start server. Error: both --model_base_path and --model_config_file are empty: give one of them"
    ]
