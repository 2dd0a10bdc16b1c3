"""`run_server` as a process: signals, exit codes, and one line where it cannot start."""

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from features.errors import InputError
from serving.app import check_ports, run_server
from serving.app import serve as server_of
from serving.client import CallError, RecommenderClient
from serving.config import ServerConfig
from serving.process import EXIT_FAILED_START
from tests.serving.conftest import PATIENCE

SERVE = "import sys; from serving.app import serve; sys.exit(serve(sys.argv[1:]))"


BUSY_THREADS = """
import sys, threading
import tensorflow as tf
from serving.app import serve
from serving.server import Server

def open_and_close_sessions():
    while True:
        tf.compat.v1.Session(graph=tf.Graph()).close()

start = Server.start

def start_beside_busy_threads(server):
    for _ in range(4):
        threading.Thread(target=open_and_close_sessions, daemon=True).start()
    start(server)

Server.start = start_beside_busy_threads
sys.exit(serve(sys.argv[1:]))
"""
"""A server with threads that never leave TensorFlow, like one that is loading a large version."""


@contextlib.contextmanager
def serve(*flags, code=SERVE):
    """A server process; killed, with its workers, where a test leaves it running."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *flags], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
                process.kill()


def errors_of(process, seconds=300):
    """What the process says until it ends."""
    return process.communicate(timeout=seconds)[1]


def said(process, text):
    """Reads on until a line holds the text."""
    return any(text in line for line in iter(process.stderr.readline, ""))


def test_version_exits_at_once(capsys):
    assert run_server(ServerConfig(version=True)) == 0
    assert "TensorFlow Library: 2.20" in capsys.readouterr().out


def test_help_is_the_usage_and_starts_nothing(capsys):
    assert server_of(["--port=9", "--help"]) == EXIT_FAILED_START
    printed = capsys.readouterr()
    assert printed.out.startswith("usage: recstack serve\nFlags:\n\t--port=8500")
    assert printed.err == ""


def test_a_port_in_use_is_found_before_anything_slow(free_port):
    expected = f"--port={free_port}: cannot listen there: Address already in use"
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", free_port))
        taken.listen()
        with pytest.raises(InputError, match=expected):
            check_ports(ServerConfig(port=free_port))
        with serve(f"--port={free_port}", "--model_base_path=/nowhere") as process:
            assert errors_of(process).splitlines() == [f"Failed to start server. Error: {expected}"]
    assert process.returncode == EXIT_FAILED_START


def test_a_socket_in_a_directory_that_is_not_there():
    with pytest.raises(InputError, match="--grpc_socket_path=/nowhere/s: /nowhere is not a writable directory"):
        check_ports(ServerConfig(port=0, grpc_socket_path="/nowhere/s"))


def test_a_flag_with_a_wrong_value_is_one_line(capsys):
    assert server_of(["--port=x"]) == EXIT_FAILED_START
    assert capsys.readouterr().err == "Failed to start server. Error: port = 'x': expected a whole number\n"


def test_no_model_at_all_says_what_to_give(free_port):
    with serve(f"--port={free_port}") as process:
        assert errors_of(process).splitlines() == [
            "Failed to start server. Error: both --model_base_path and --model_config_file are empty: give one of them"
        ]
    assert process.returncode == EXIT_FAILED_START


@pytest.mark.slow
def test_it_serves_until_sigterm(tiny_model, free_port, x):
    with serve(f"--port={free_port}", "--model_name=tiny", f"--model_base_path={tiny_model}") as process:
        first = process.stderr.readline()
        assert f"Loading TensorFlow and model tiny of --model_base_path={tiny_model}; the ports open once" in first
        assert said(process, "Running ModelServer")
        with RecommenderClient(f"127.0.0.1:{free_port}", model="tiny", timeout_seconds=PATIENCE) as client:
            assert client.predict({"x": x})["y"].tolist() == [2.5, 3.0, 4.5]
        process.send_signal(signal.SIGTERM)
        errors_of(process)
    assert process.returncode == 0


@pytest.mark.slow
def test_threads_inside_tensorflow_do_not_abort_the_process(tiny_model, free_port):
    flags = (f"--port={free_port}", "--model_name=tiny", f"--model_base_path={tiny_model}")
    with serve(*flags, code=BUSY_THREADS) as process:
        assert said(process, "Running ModelServer")
        process.send_signal(signal.SIGTERM)
        assert "terminate called" not in errors_of(process)
    assert process.returncode == 0


@pytest.mark.slow
def test_a_base_path_that_is_not_there_is_said_once_and_waited_for(free_port, tmp_path):
    with serve(f"--port={free_port}", f"--model_base_path={tmp_path}/later") as process:
        assert said(process, f"Could not find base path {tmp_path}/later")
        process.send_signal(signal.SIGINT)
        assert "Could not find base path" not in errors_of(process)
    assert process.returncode == 0


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_the_others_go_on(tiny_model, free_port, x):
    flags = [f"--port={free_port}", "--model_name=tiny", f"--model_base_path={tiny_model}", "--workers=2"]
    with serve(*flags) as process:
        assert said(process, "Running ModelServer")
        assert said(process, "Running ModelServer")
        first, second = workers_of(process)
        first.kill()
        with RecommenderClient(f"127.0.0.1:{free_port}", model="tiny", timeout_seconds=PATIENCE) as client:
            assert client.predict({"x": x})["y"].tolist() == [2.5, 3.0, 4.5]
        assert said(process, ": replaced")
        assert said(process, "Running ModelServer")
        process.send_signal(signal.SIGTERM)
        errors_of(process)
        assert not second.is_running()
    assert process.returncode == 0


@pytest.mark.slow
def test_a_killed_worker_loses_at_most_the_calls_in_flight(tiny_model, free_port, x):
    """Eight callers, two workers, one of which is killed: each caller had one call in flight."""
    flags = [f"--port={free_port}", "--model_name=tiny", f"--model_base_path={tiny_model}", "--workers=2"]
    stop = threading.Event()
    answers = [[] for _ in range(8)]

    def keep_calling(own):
        # A call that finds its connection dead was never in flight: the client's own retries send it on a new one.
        with RecommenderClient(f"127.0.0.1:{free_port}", model="tiny", timeout_seconds=PATIENCE) as client:
            while not stop.is_set():
                try:
                    own.append(client.predict({"x": x})["y"].tolist())
                except CallError as error:
                    own.append(error.code)

    def let_each_make(calls):
        wanted = [len(own) + calls for own in answers]
        deadline = time.monotonic() + PATIENCE
        while any(len(own) < number for own, number in zip(answers, wanted, strict=True)):
            assert time.monotonic() < deadline, [len(own) for own in answers]
            time.sleep(0.01)

    with serve(*flags) as process, ThreadPoolExecutor(8) as pool:
        assert said(process, "Running ModelServer")
        assert said(process, "Running ModelServer")
        callers = [pool.submit(keep_calling, own) for own in answers]
        try:
            let_each_make(50)
            workers_of(process)[0].kill()
            let_each_make(50)
        finally:
            stop.set()
        for caller in callers:
            caller.result()
    right = [2.5, 3.0, 4.5]
    lost = [sum(answer != right for answer in own) for own in answers]
    assert max(lost) <= 1, lost
    assert all(own[-1] == right for own in answers)


def workers_of(process):
    children = psutil.Process(process.pid).children()
    return [child for child in children if "resource_tracker" not in " ".join(child.cmdline())]


@pytest.mark.slow
def test_workers_that_cannot_start_end_the_server(free_port, tmp_path):
    (tmp_path / "1").mkdir()
    flags = [f"--port={free_port}", f"--model_base_path={tmp_path}", "--workers=2", "--max_num_load_retries=0"]
    with serve(*flags) as process:
        expected = "Failed to start server. Error: Unknown: 1 servable(s) did not become available"
        assert expected in errors_of(process)
    assert process.returncode == EXIT_FAILED_START
