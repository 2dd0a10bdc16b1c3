"""TensorProto codecs against TensorFlow's own, and what TensorFlow's Python ones refuse."""

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.framework import tensor_pb2, types_pb2

from features.protocol.tensor_proto import KINDS, ParseError, decode, encode

NUMERIC = [kind.dtype for kind in KINDS.values() if kind.dtype != object]


def proto(dtype, shape, **fields):
    return tensor_pb2.TensorProto(dtype=dtype, tensor_shape={"dim": [{"size": size} for size in shape]}, **fields)


def encoded(array, **options):
    message = tensor_pb2.TensorProto()
    encode(array, message, **options)
    return message


@pytest.mark.parametrize("dtype", NUMERIC, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3), (2, 0, 4)])
@pytest.mark.parametrize("as_content", [False, True])
def test_round_trip_agrees_with_tensorflow(dtype, shape, as_content):
    array = (np.arange(np.prod(shape, dtype=int)) % 2 + 1).reshape(shape).astype(dtype)
    message = encoded(array, as_content=as_content)
    np.testing.assert_array_equal(decode(message), array)
    np.testing.assert_array_equal(tf.make_ndarray(message), array)
    np.testing.assert_array_equal(decode(tf.make_tensor_proto(array)), array)
    assert decode(message).dtype == dtype


@given(st.lists(st.binary(max_size=300), max_size=5))
def test_strings_round_trip(values):
    array = np.empty(len(values), object)
    array[:] = values
    assert decode(encoded(array)).tolist() == values


@given(st.lists(st.floats(width=32), max_size=200))
def test_floats_round_trip_bit_by_bit(values):
    array = np.array(values, np.float32)
    assert decode(encoded(array)).tobytes() == array.tobytes()


def test_special_values_of_half_types():
    for dtype in (np.float16, ml_dtypes.bfloat16):
        array = np.array([np.inf, -0.0, 1.5], dtype)
        assert decode(encoded(array)).tobytes() == array.tobytes()


def test_note_a_short_list_repeats_its_last_value():
    message = proto(types_pb2.DT_FLOAT, [2, 2], float_val=[1.0, 2.0])
    np.testing.assert_array_equal(decode(message), [[1.0, 2.0], [2.0, 2.0]])
    message = proto(types_pb2.DT_STRING, [3], string_val=[b"a"])
    assert decode(message).tolist() == [b"a", b"a", b"a"]


def test_note_an_empty_list_gives_zeros():
    np.testing.assert_array_equal(decode(proto(types_pb2.DT_INT64, [2])), [0, 0])
    assert decode(proto(types_pb2.DT_STRING, [2])).tolist() == [b"", b""]
    assert not decode(proto(types_pb2.DT_BOOL, [])).item()


def test_too_many_values_are_cut():
    np.testing.assert_array_equal(decode(proto(types_pb2.DT_INT32, [1], int_val=[7, 8])), [7])


def test_narrow_integers_keep_the_low_bits():
    np.testing.assert_array_equal(decode(proto(types_pb2.DT_UINT8, [1], int_val=[257])), [1])


def test_a_string_tensor_in_tensor_content():
    content = bytes([1, 2]) + b"a" + b"bc"
    assert decode(proto(types_pb2.DT_STRING, [2], tensor_content=content)).tolist() == [b"a", b"bc"]


@pytest.mark.parametrize(
    "message",
    [
        proto(types_pb2.DT_FLOAT, [2], tensor_content=b"\0" * 7),
        proto(types_pb2.DT_FLOAT, [-1]),
        proto(types_pb2.DT_INVALID, []),
        proto(types_pb2.DT_VARIANT, []),
        proto(types_pb2.DT_STRING, [1], tensor_content=b"\xff"),
        proto(types_pb2.DT_STRING, [1], tensor_content=b"\x05ab"),
        proto(types_pb2.DT_FLOAT, [2**40, 2**40]),
        tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, tensor_shape={"unknown_rank": True}),
    ],
)
def test_what_is_no_tensor_is_a_parse_error(message):
    with pytest.raises(ParseError):
        decode(message)


@settings(max_examples=300)
@given(
    dtype=st.integers(0, 30),
    shape=st.lists(st.integers(-1, 5), max_size=3),
    content=st.binary(max_size=20),
    floats=st.lists(st.floats(width=32), max_size=4),
    integers=st.lists(st.integers(-(2**31), 2**31 - 1), max_size=4),
    strings=st.lists(st.binary(max_size=4), max_size=4),
)
def test_any_proto_gives_its_shape_or_a_parse_error(dtype, shape, content, floats, integers, strings):
    fields = {"float_val": floats, "scomplex_val": floats, "int_val": integers, "half_val": integers}
    message = proto(dtype, shape, tensor_content=content, string_val=strings, **fields)
    try:
        array = decode(message)
    except ParseError:
        return
    assert list(array.shape) == shape
