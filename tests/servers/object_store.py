"""A real S3 server over a folder: versitygw, built by tests/servers/versitygw.sh."""

import contextlib
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from s3fs import S3FileSystem

from recstack.local_server import free_port
from tests.servers.ledger import missing, report

BUCKET = "bucket"
_NAMES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION")
_PATIENCE = 60.0


@contextlib.contextmanager
def s3_server() -> Iterator[Path]:
    """Runs the server with an empty bucket; the environment of this process names it and its keys meanwhile.

    Yields:
        The folder with the bucket's objects as files.
    """
    program = Path.home() / ".cache" / "recstack" / "versitygw"
    if not program.exists():
        missing("versitygw", "no versitygw here; build it by tests/servers/versitygw.sh")
    port = free_port()
    before = {name: os.environ.get(name) for name in _NAMES}
    values = ("tester", "the tester's secret", f"http://127.0.0.1:{port}", "us-east-1")
    with tempfile.TemporaryDirectory(prefix="recstack-server-") as folder:
        objects, sidecar = Path(folder) / "objects", Path(folder) / "sidecar"
        (objects / BUCKET).mkdir(parents=True)
        sidecar.mkdir()  # not every file system has the extended attributes that it would use otherwise
        command = [program, "--quiet", "--port", f"127.0.0.1:{port}", "--access", values[0], "--secret", values[1]]
        command += ["posix", "--sidecar", sidecar, objects]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.environ.update(zip(_NAMES, values, strict=True))
        S3FileSystem.clear_instance_cache()  # an instance keeps the address and the keys that it was made with
        try:
            _wait_until_listening(process, port)
            version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
            report("versitygw", " ".join(version.splitlines()[0].split()))
            yield objects / BUCKET
        finally:
            process.terminate()
            process.wait()
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})
            S3FileSystem.clear_instance_cache()


def _wait_until_listening(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        assert process.poll() is None, f"versitygw ended with code {process.returncode}"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError("versitygw does not answer")
