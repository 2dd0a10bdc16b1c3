"""From the start of the server to its first answer, and what each version takes of its memory.

    .venv/bin/python benchmarks/serving_start.py made 1000000
    .venv/bin/python benchmarks/serving_start.py model saved_models/retrieval --signature retrieve

`made` makes an untrained `retrieval` of so many items first (benchmarks/served_models.py); `model` takes an exported
model. The server runs anew for each number of versions, one to three copies of the newest one, all of them served.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import grpc
import psutil
from rich.console import Console
from rich.table import Table
from serving_speed import MODEL, SERVE, free_port, one_query

from features.disk.exported import ModelLayout
from serving.client import PREDICT

CONFIG = """model_config_list {{ config {{
  name: "{model}" base_path: "{base}" model_platform: "tensorflow" model_version_policy {{ all {{}} }} }} }}"""


def start(base: Path, payload: bytes, versions: int) -> tuple[float, float]:
    """Serves so many copies of the version; returns the seconds to the first answer and the memory in MiB."""
    with tempfile.TemporaryDirectory(dir=base.parent) as directory:
        copies, config = Path(directory) / "copies", Path(directory) / "models.config"
        layout = ModelLayout(base)
        for number in range(1, versions + 1):
            # Hard links: the copies take no disk, and the files are as warm in the cache for each.
            shutil.copytree(layout.version(layout.versions()[-1]), copies / str(number), copy_function=os.link)
        config.write_text(CONFIG.format(model=MODEL, base=copies))
        port = free_port()
        begun = time.perf_counter()
        command = [sys.executable, "-c", SERVE, f"--port={port}", f"--model_config_file={config}"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            try:
                seconds = first_answer(f"127.0.0.1:{port}", payload) - begun
                wait_for(f"127.0.0.1:{port}", payload, versions)
                return seconds, psutil.Process(process.pid).memory_info().rss / 2**20
            finally:
                process.terminate()


def first_answer(address: str, payload: bytes) -> float:
    """When the first request is answered."""
    while True:
        try:
            with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
                channel.unary_unary(PREDICT)(payload, timeout=60)
                return time.perf_counter()
        except grpc.RpcError:
            time.sleep(0.05)


def wait_for(address: str, payload: bytes, versions: int) -> None:
    """Until every version has answered."""
    from features.protocol.wire import PredictRequest

    with grpc.insecure_channel(address) as channel:
        send = channel.unary_unary(PREDICT, PredictRequest.SerializeToString)
        for number in range(1, versions + 1):
            request = PredictRequest.FromString(payload)
            request.model_spec.version.value = number
            while True:
                try:
                    send(request, timeout=60)
                    break
                except grpc.RpcError:
                    time.sleep(0.1)


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["made", "model"])
    parser.add_argument("place", help="made: number of items; model: its base path")
    parser.add_argument("--signature", default="serving_default")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        base, signature = Path(arguments.place), arguments.signature
        if arguments.what == "made":
            base, signature = Path(directory) / "retrieval", "retrieve"
            maker = [sys.executable, str(Path(__file__).with_name("served_models.py")), directory, arguments.place]
            subprocess.run([*maker, "--only", "retrieval"], check=True, stderr=subprocess.DEVNULL)
        payload = one_query(base, MODEL, signature)[0]
        table, before = Table("versions", "first answer", "memory", "more by the last version"), 0.0
        for versions in (1, 2, 3):
            seconds, memory = start(base, payload, versions)
            more = f"{memory - before:.0f} MiB" if before else "-"
            table.add_row(str(versions), f"{seconds:.1f} s", f"{memory:.0f} MiB", more)
            before = memory
        layout = ModelLayout(base)
        size = sum(path.stat().st_size for path in layout.version(layout.versions()[-1]).rglob("*") if path.is_file())
        print(f"{arguments.what} {arguments.place}: a version is {size / 2**20:.0f} MiB on disk")
        Console().print(table)


if __name__ == "__main__":
    main()
