"""TensorFlow Lite models, with and without SignatureDefs in their metadata. The model is y = x / 2 + 3."""

import concurrent.futures

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import Builder, flexbuffers
from grpc import StatusCode
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import get_model_metadata_pb2

from features.errors import ConfigError
from serving.config import ServerConfig
from serving.errors import ServingError
from serving.models.tflite import MODEL_FILE, SIGNATURES_METADATA, load_tflite
from serving.server import Server
from tests.serving.conftest import save_affine


class HalfPlusThree(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def affine(self, x):
        return {"y": x / 2 + 3}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="s")])
    def text(self, s):
        return {"t": tf.identity(s)}


def converted(name):
    module = HalfPlusThree()
    function = getattr(module, name).get_concrete_function()
    return bytes(tf.lite.TFLiteConverter.from_concrete_functions([function], module).convert())


@pytest.fixture(scope="module")
def affine():
    return converted("affine")


def tensor_names(content):
    """Names of the model's input and output."""
    subgraph = schema.Model.GetRootAs(content, 0).Subgraphs(0)
    return [subgraph.Tensors(index).Name().decode() for index in (subgraph.Inputs(0), subgraph.Outputs(0))]


def with_signatures(content, **definitions):
    """The model with SignatureDefs in its metadata, as the real server's own test data has them."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    builder = flexbuffers.Builder()
    with builder.Map():
        for name, definition in definitions.items():
            builder.Key(name)
            # The builder's own `String` takes text only.
            builder._WriteBlob(definition.SerializeToString(), append_zero=True, type_=flexbuffers.Type.STRING)
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(builder.Finish(), np.uint8)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = SIGNATURES_METADATA, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]
    return packed(model)


def stripped(content):
    """The model with tensor names as older converters wrote them, without `:0`."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    for tensor in model.subgraphs[0].tensors:
        tensor.name = tensor.name.partition(b":")[0]
    return packed(model)


def packed(model):
    builder = Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def definition(inputs, outputs, method="tensorflow/serving/predict"):
    made = meta_graph_pb2.SignatureDef(method_name=method)
    for given, infos in ((inputs, made.inputs), (outputs, made.outputs)):
        for alias, name in given.items():
            infos[alias].name, infos[alias].dtype = name, tf.float32.as_datatype_enum
            infos[alias].tensor_shape.dim.add(size=1)
    return made


def write(base, content, version=1):
    (base / str(version)).mkdir(parents=True)
    (base / str(version) / MODEL_FILE).write_bytes(content)


@pytest.fixture
def serve(start_server, tmp_path):
    def serve(content, **flags):
        write(tmp_path / "m", content)
        flags = {"model_name": "m", "model_base_path": str(tmp_path / "m"), "max_num_load_retries": 0, **flags}
        return start_server(prefer_tflite_model=True, **flags)

    return serve


def test_a_model_with_signatures_answers_under_their_aliases(serve, affine):
    x, y = tensor_names(affine)
    client = serve(with_signatures(affine, serving_default=definition({"x": x}, {"y": y})))
    for values in ([2.0], [1.0, 2.0, 5.0], [7.0]):
        response = client.predict("m", x=np.array(values, np.float32))
        assert list(response.outputs["y"].float_val) == [value / 2 + 3 for value in values]
    assert response.model_spec.signature_name == "serving_default"


def test_a_model_without_signatures_is_called_by_its_tensor_names(serve, affine):
    x, y = (name.partition(":")[0] for name in tensor_names(affine))
    client = serve(affine)
    response = client.predict("m", **{x: np.array([2.0], np.float32)})
    assert list(response.outputs[y].float_val) == [4.0]
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = "m"
    signatures = get_model_metadata_pb2.SignatureDefMap()
    client.prediction.GetModelMetadata(request).metadata["signature_def"].Unpack(signatures)
    (only,) = signatures.signature_def.items()
    assert only[0] == "serving_default"
    assert (only[1].method_name, only[1].inputs[x].dtype) == ("tensorflow/serving/predict", 1)


def test_a_signature_may_name_a_tensor_as_newer_converters_do(serve, affine):
    """`x:0` in the SignatureDef, while an older converter stripped the `:0` from the model's own names."""
    x, y = tensor_names(affine)
    content = with_signatures(stripped(affine), serving_default=definition({"x": x}, {"y": y}))
    assert [f"{name}:0" for name in tensor_names(content)] == [x, y]
    assert list(serve(content).predict("m", x=np.array([2.0], np.float32)).outputs["y"].float_val) == [4.0]


def test_a_signature_of_an_unknown_tensor_fails_the_load(tmp_path, affine):
    write(tmp_path, with_signatures(affine, serving_default=definition({"x": "nope:0"}, {})))
    with pytest.raises(ServingError, match=r"Unknown tensor 'nope:0'.*\n\tSignature input x references an unknown"):
        load_tflite("m", 1, str(tmp_path / "1"), 1)


@pytest.mark.parametrize("content", [b"", b"no flat buffer at all"])
def test_a_file_that_is_no_model_fails_the_load(tmp_path, content):
    write(tmp_path, content)
    with pytest.raises(ServingError, match="Cannot build FlatBufferModel from buffer"):
        load_tflite("m", 1, str(tmp_path / "1"), 1)


def test_a_wrong_type_is_refused(serve, affine):
    x, _ = (name.partition(":")[0] for name in tensor_names(affine))
    client = serve(affine)
    request = client.request("m", **{x: np.array([1, 2], np.int32)})
    message = client.refused(client.prediction.Predict, request, StatusCode.INVALID_ARGUMENT)
    assert message == "Expects arg[0] to be float but int32 is provided"


def test_text_goes_in_and_out(tmp_path):
    write(tmp_path, converted("text"))
    servable = load_tflite("m", 1, str(tmp_path / "1"), 1)
    signature = servable.signatures["serving_default"]
    values = np.array([b"a", b"\xff\0b", b""], object)
    (answer,) = servable.run(signature.feeds, [values], signature.fetches, None)
    assert answer.tolist() == values.tolist()


def test_calls_from_many_threads_keep_their_rows(serve, affine):
    x, y = (name.partition(":")[0] for name in tensor_names(affine))
    client = serve(affine, num_tflite_pools=2, num_tflite_interpreters_per_pool=2)

    def call(number):
        values = np.full(1 + number % 5, number, np.float32)
        return list(client.predict("m", **{x: values}).outputs[y].float_val) == [number / 2 + 3] * len(values)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(call, range(100)))


def test_versions_without_a_lite_model_are_served_as_saved_models(start_server, tmp_path, affine):
    (tmp_path / "m").mkdir()
    save_affine(tmp_path / "m" / "1", b=1.0)
    client = start_server(model_name="m", model_base_path=str(tmp_path / "m"), prefer_tflite_model=True)
    assert list(client.predict("m", x=np.array([2.0], np.float32)).outputs["y"].float_val) == [2.0]


def test_without_the_flag_the_saved_model_is_served(start_server, tmp_path, affine):
    (tmp_path / "m").mkdir()
    save_affine(tmp_path / "m" / "1", b=1.0)
    (tmp_path / "m" / "1" / MODEL_FILE).write_bytes(affine)
    client = start_server(model_name="m", model_base_path=str(tmp_path / "m"))
    assert list(client.predict("m", x=np.array([2.0], np.float32)).outputs["y"].float_val) == [2.0]


def test_without_litert_the_flag_is_refused(monkeypatch):
    monkeypatch.setattr("serving.models.tflite.importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'recstack\[tflite\]'"):
        Server(ServerConfig(prefer_tflite_model=True))
