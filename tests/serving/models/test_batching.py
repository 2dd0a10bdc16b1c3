"""Batching: rules on a graph of our own making, then through a server."""

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from grpc import StatusCode
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.errors import Code, ServingError, invalid_argument
from serving.models.batching.options import BatchingOptions
from serving.models.batching.queues import BatchScheduler
from serving.protos import BatchingParameters
from tests.serving.conftest import PATIENCE


class Doubling:
    """Doubles its input and remembers the sizes it ran with; `gate` holds runs back."""

    def __init__(self):
        self.sizes = []
        self.gate = threading.Event()
        self.gate.set()
        self.started = threading.Event()

    def __call__(self, arrays, timeout):
        self.started.set()
        self.gate.wait(timeout=PATIENCE)
        self.sizes.append(len(arrays[0]))
        return [2 * array for array in arrays]

    def check_types(self, arrays):
        if any(array.dtype != np.float32 for array in arrays):
            raise invalid_argument("type")


@pytest.fixture
def queue_of():
    schedulers = []

    def queue_of(run, threads=1, **options):
        scheduler = BatchScheduler(threads)
        schedulers.append(scheduler)
        return scheduler.queue(BatchingOptions(**options), run)

    yield queue_of
    for scheduler in schedulers:
        scheduler.stop()


def ones(*shape):
    return [np.ones(shape, np.float32)]


def refused(call, *arguments):
    with pytest.raises(ServingError) as caught:
        call(*arguments)
    return caught.value


def in_one_batch(queue, run, requests):
    """Answers to requests that wait together behind a run that is held back."""
    run.gate.clear()
    run.started.clear()
    with ThreadPoolExecutor(len(requests) + 1) as pool:
        blocker = pool.submit(queue, ones(queue._options.run_limit), None)
        assert run.started.wait(timeout=PATIENCE)
        futures = []
        for request in requests:
            futures.append(pool.submit(queue, request, None))
            deadline = time.monotonic() + PATIENCE
            while sum(len(batch.tasks) for batch in queue.batches) < len(futures) and time.monotonic() < deadline:
                if futures[-1].done():
                    break
                time.sleep(0.001)
        run.gate.set()
        blocker.result()
        return [future.exception() or future.result()[0] for future in futures]


def test_waiting_requests_run_together_and_get_their_own_rows(queue_of):
    run = Doubling()
    queue = queue_of(run)
    requests = [[np.arange(size, dtype=np.float32)] for size in (1, 3, 2)]
    for request, answer in zip(requests, in_one_batch(queue, run, requests), strict=True):
        np.testing.assert_array_equal(answer, 2 * request[0])
    assert run.sizes == [1000, 6]


def test_a_request_that_does_not_fit_opens_the_next_batch(queue_of):
    run = Doubling()
    in_one_batch(queue_of(run, max_batch_size=4, max_execution_batch_size=4), run, [ones(3), ones(2), ones(2)])
    assert run.sizes == [4, 3, 4]


def test_a_lone_request_waits_the_whole_timeout(queue_of):
    queue = queue_of(Doubling(), timeout_seconds=0.2)
    started = time.monotonic()
    queue(ones(1), None)
    assert time.monotonic() - started >= 0.2


def test_a_full_batch_does_not_wait(queue_of):
    queue = queue_of(Doubling(), timeout_seconds=3600.0, max_batch_size=2)
    np.testing.assert_array_equal(queue(ones(2), None)[0], [2.0, 2.0])


def test_too_large_a_request(queue_of):
    error = refused(queue_of(Doubling(), max_batch_size=4), ones(5), None)
    assert (error.code, error.message) == (
        Code.INVALID_ARGUMENT,
        "Task size 5 is larger than maximum input batch size 4",
    )


def test_large_requests_are_split_by_flag(queue_of):
    run = Doubling()
    queue = queue_of(run, max_batch_size=100, split_large=True, max_execution_batch_size=4)
    values = np.arange(10, dtype=np.float32)
    np.testing.assert_array_equal(queue([values], None)[0], 2 * values)
    assert run.sizes == [4, 4, 2]


def test_a_full_queue_is_unavailable(queue_of):
    run = Doubling()
    queue = queue_of(run, max_batch_size=1, max_enqueued_batches=2, max_execution_batch_size=1)
    answers = in_one_batch(queue, run, [ones(1), ones(1), ones(1)])
    assert [isinstance(answer, ServingError) for answer in answers] == [False, False, True]
    assert answers[2].code is Code.UNAVAILABLE


def test_inputs_need_one_common_first_dimension(queue_of):
    queue = queue_of(Doubling())
    assert refused(queue, [np.float32(1).reshape(())], None).code is Code.INVALID_ARGUMENT
    assert "equal 0th-dimension" in refused(queue, ones(1) + ones(2), None).message


def test_filled_up_to_the_next_allowed_size(queue_of):
    run = Doubling()
    queue = queue_of(run, max_batch_size=8, allowed_batch_sizes=(2, 8), max_execution_batch_size=8)
    np.testing.assert_array_equal(queue(ones(1), None)[0], [2.0])
    np.testing.assert_array_equal(queue(ones(3), None)[0], [2.0] * 3)
    assert run.sizes == [2, 8]


def test_different_inner_shapes_need_padding(queue_of):
    run = Doubling()
    answers = in_one_batch(queue_of(run), run, [ones(1, 2), ones(1, 3)])
    assert [answer.code for answer in answers] == [Code.FAILED_PRECONDITION] * 2
    answers = in_one_batch(queue_of(run, pad_variable_length_inputs=True), run, [ones(1, 2), ones(1, 3)])
    np.testing.assert_array_equal(answers[0], [[2.0, 2.0, 0.0]])
    np.testing.assert_array_equal(answers[1], [[2.0, 2.0, 2.0]])


def test_a_request_of_the_wrong_type_fails_alone(queue_of):
    run = Doubling()
    queue = queue_of(run)
    answers = in_one_batch(queue, run, [ones(1), [np.array([b"a"], object)]])
    np.testing.assert_array_equal(answers[0], [2.0])
    assert answers[1].code is Code.INVALID_ARGUMENT


def test_outputs_need_the_batch_dimension(queue_of):
    class Summing(Doubling):
        def __call__(self, arrays, timeout):
            return [arrays[0].sum()]

    assert refused(queue_of(Summing()), ones(2), None).code is Code.FAILED_PRECONDITION


def test_a_request_may_time_out_in_the_queue(queue_of):
    error = refused(queue_of(Doubling(), timeout_seconds=0.1), ones(1), 0.01)
    assert error.code is Code.DEADLINE_EXCEEDED


def test_an_error_of_the_run_reaches_every_request(queue_of):
    class Failing(Doubling):
        def __call__(self, arrays, timeout):
            raise invalid_argument("no")

    assert refused(queue_of(Failing()), ones(1), None).message == "no"


class Picky(Doubling):
    """Refuses what holds a negative number."""

    def __init__(self, code=Code.INVALID_ARGUMENT):
        super().__init__()
        self.code = code

    def __call__(self, arrays, timeout):
        results = super().__call__(arrays, timeout)
        if (arrays[0] < 0).any():
            raise ServingError(self.code, f"refused {arrays[0].min():.0f}")
        return results


def test_a_request_that_the_graph_refuses_fails_alone(queue_of):
    run = Picky()
    requests = [ones(2), [np.float32([-1])], [np.float32([5])], [np.float32([3, -2])]]
    answers = in_one_batch(queue_of(run), run, requests)
    np.testing.assert_array_equal(answers[0], [2.0, 2.0])
    np.testing.assert_array_equal(answers[2], [10.0])
    assert [(answer.code, answer.message) for answer in answers[1::2]] == [
        (Code.INVALID_ARGUMENT, "refused -1"),
        (Code.INVALID_ARGUMENT, "refused -2"),
    ]
    assert run.sizes == [1000, 6, 2, 1, 1, 2]


def test_an_error_that_is_not_of_a_request_is_that_of_all_and_not_repeated(queue_of):
    run = Picky(Code.RESOURCE_EXHAUSTED)
    answers = in_one_batch(queue_of(run), run, [ones(1), [np.float32([-1])]])
    assert [answer.code for answer in answers] == [Code.RESOURCE_EXHAUSTED] * 2
    assert run.sizes == [1000, 2]


@pytest.mark.parametrize(
    "options",
    [
        {"allowed_batch_sizes": (4, 2), "max_batch_size": 2},
        {"allowed_batch_sizes": (2, 4), "max_batch_size": 8},
        {"num_batch_threads": 0},
    ],
)
def test_bad_options_are_refused(options):
    assert refused(lambda: BatchingOptions(**options)).code is Code.INVALID_ARGUMENT


def test_the_parameters_files_fields():
    text = """max_batch_size { value: 8 } batch_timeout_micros { value: 1000 } max_enqueued_batches { value: 3 }
        num_batch_threads { value: 2 } thread_pool_name { value: "mine" } allowed_batch_sizes: 4
        allowed_batch_sizes: 8 pad_variable_length_inputs: true"""
    options = BatchingOptions.from_proto(text_format.Parse(text, BatchingParameters()), cpus=5)
    assert options == BatchingOptions(
        max_batch_size=8,
        timeout_seconds=0.001,
        max_enqueued_batches=3,
        num_batch_threads=2,
        allowed_batch_sizes=(4, 8),
        pad_variable_length_inputs=True,
        max_execution_batch_size=8,
        thread_pool_name="mine",
    )
    assert BatchingOptions.from_proto(BatchingParameters(), cpus=5) == BatchingOptions(num_batch_threads=5)


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=12),
    limit=st.integers(6, 10),
    threads=st.integers(1, 3),
)
def test_whatever_is_joined_everyone_gets_what_a_plain_run_gives(sizes, limit, threads):
    scheduler = BatchScheduler(threads)
    queue = scheduler.queue(BatchingOptions(max_batch_size=limit, max_enqueued_batches=100), Doubling())
    requests = [np.arange(size, dtype=np.float32) + 100 * number for number, size in enumerate(sizes)]
    try:
        with ThreadPoolExecutor(len(sizes)) as pool:
            answers = list(pool.map(lambda request: queue([request], None)[0], requests))
    finally:
        scheduler.stop()
    for request, answer in zip(requests, answers, strict=True):
        np.testing.assert_array_equal(answer, 2 * request)


@pytest.fixture
def flags(tiny_model):
    return {"model_name": "tiny", "model_base_path": str(tiny_model)}


def test_a_server_with_batching_gives_the_same_answers(start_server, flags, tmp_path):
    file = tmp_path / "batching.config"
    file.write_text("max_batch_size { value: 4 } batch_timeout_micros { value: 2000 }")
    client = start_server(**flags, enable_batching=True, batching_parameters_file=str(file))
    requests = [np.array([number, number + 1], np.float32) for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda x: client.predict(x=x), requests))
    for request, response in zip(requests, responses, strict=True):
        np.testing.assert_array_equal(tf.make_ndarray(response.outputs["y"]), request / 2 + 2)
    session = "/tensorflow/serving/batching_session"
    assert client.server.metrics.totals(f"{session}/queuing_latency") == {("batch_threads",): 40.0}
    assert 20 <= client.server.metrics.totals(f"{session}/wrapped_run_count")[()] <= 40  # two requests fit in a batch
    too_large = client.request(x=np.arange(5, dtype=np.float32))
    assert "Task size 5" in client.refused(client.prediction.Predict, too_large, StatusCode.INVALID_ARGUMENT)


def test_a_parameters_file_needs_the_flag(start_server, flags, tmp_path):
    with pytest.raises(ServingError, match="without setting --enable_batching"):
        start_server(**flags, batching_parameters_file=str(tmp_path / "file"))


def test_parameters_in_the_version_directory(start_server, flags, affine_versions, tmp_path):
    shutil.copytree(affine_versions / "1", tmp_path / "m" / "1")
    (tmp_path / "m" / "1" / "batching_params.pbtxt").write_text("max_batch_size { value: 2 }")
    client = start_server(
        model_name="m",
        model_base_path=str(tmp_path / "m"),
        enable_batching=True,
        enable_per_model_batching_parameters=True,
    )
    request = client.request("m", x=np.arange(3, dtype=np.float32))
    message = client.refused(client.prediction.Predict, request, StatusCode.INVALID_ARGUMENT)
    assert message == "Task size 3 is larger than maximum input batch size 2"
