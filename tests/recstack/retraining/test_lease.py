"""One retraining at a time: leases exclude each other, end with their holder, and say when they are lost."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from features.errors import InputError, RecstackError
from recstack.retraining.lease import Lease, held_lease, read_holder

SECONDS = 300.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "retrainings" / "lease.json"


def write_holder(path: Path, **changes: object) -> None:
    """A lease of this process, with the given changes."""
    with held_lease(path, SECONDS):
        holder = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**holder, "name": "another", **changes}), "utf-8")


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_two_at_once_exclude_each_other(path: Path) -> None:
    with held_lease(path, SECONDS) as lease:
        holder = read_holder(path)
        assert holder is not None
        with pytest.raises(InputError, match=rf"held by {holder.host} \(process {holder.pid}\)"):
            held_lease(path, SECONDS).__enter__()
        lease.require()
    with held_lease(path, SECONDS) as second:
        second.require()


def test_it_is_given_back_after_a_failure(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), held_lease(path, SECONDS):
        raise ZeroDivisionError
    assert list(path.parent.iterdir()) == []


def test_of_many_that_start_at_once_one_takes_an_ended_lease(path: Path) -> None:
    write_holder(path, pid=ended_process())
    together, done = threading.Barrier(8), threading.Event()
    taken, refused = [], []

    def try_to_take() -> None:
        together.wait()
        try:
            with held_lease(path, SECONDS) as lease:
                taken.append(lease)
                done.wait()
                lease.require()
        except InputError as error:
            refused.append(error)

    threads = [threading.Thread(target=try_to_take) for _ in range(8)]
    for thread in threads:
        thread.start()
    while len(taken) + len(refused) < 8:
        time.sleep(0.001)
    done.set()
    for thread in threads:
        thread.join()
    assert (len(taken), len(refused)) == (1, 7)


def test_the_lease_of_a_process_that_is_gone_from_this_machine_ends_at_once(path: Path) -> None:
    write_holder(path, pid=ended_process())
    with held_lease(path, SECONDS) as lease:
        lease.require()


def test_the_lease_of_another_machine_ends_when_its_last_sign_of_life_is_old(path: Path) -> None:
    now = time.time()
    write_holder(path, host="elsewhere", machine="its own", pid=ended_process(), heartbeat=now)
    with pytest.raises(InputError, match="held by elsewhere"):
        held_lease(path, SECONDS).__enter__()
    older = json.loads(path.read_text("utf-8")) | {"heartbeat": now - SECONDS - 1}
    path.write_text(json.dumps(older), "utf-8")
    with held_lease(path, SECONDS) as lease:
        lease.require()


def test_who_died_while_taking_a_lease_holds_nobody_off(path: Path) -> None:
    path.parent.mkdir()
    lock = path.with_suffix(".lock")
    lock.touch()
    os.utime(lock, (time.time() - SECONDS - 1,) * 2)
    with held_lease(path, SECONDS) as lease:
        lease.require()
    assert not lock.exists()


def test_a_damaged_lease_holds_nobody_off(path: Path) -> None:
    path.parent.mkdir()
    path.write_text('{"name": "cut o', "utf-8")
    with held_lease(path, SECONDS) as lease:
        lease.require()


def test_a_holder_that_was_overtaken_is_told_and_leaves_the_new_lease_alone(path: Path) -> None:
    with held_lease(path, SECONDS) as lease:
        mine = path.read_text("utf-8")
        path.write_text(json.dumps(json.loads(mine) | {"name": "another", "host": "elsewhere"}), "utf-8")
        with pytest.raises(RecstackError, match=r"elsewhere .* has taken it over; nothing more is done here"):
            lease.require()
        theirs = path.read_text("utf-8")
        lease.renew()
        assert path.read_text("utf-8") == theirs
    assert path.read_text("utf-8") == theirs


def test_a_lease_that_somebody_removed_is_lost(path: Path) -> None:
    with held_lease(path, SECONDS) as lease:
        path.unlink()
        with pytest.raises(RecstackError, match="lost, it is gone"):
            lease.require()


def test_signs_of_life_are_given_while_the_work_lasts(path: Path) -> None:
    with held_lease(path, 0.06):
        first = last = read_holder(path)
        assert first is not None
        while last is None or last.heartbeat == first.heartbeat:
            time.sleep(0.005)
            last = read_holder(path)
        assert (last.name, last.pid) == (first.name, first.pid)


def test_a_sign_of_life_is_one_of_the_holder(path: Path) -> None:
    write_holder(path, heartbeat=0.0)
    Lease(path, "another").renew()
    renewed = read_holder(path)
    assert renewed is not None
    assert renewed.heartbeat > 0.0
