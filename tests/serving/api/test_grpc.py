"""What gRPC itself offers: TLS, unix socket, health, channel arguments."""

import datetime
import ipaddress
import socket

import grpc
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from google.protobuf import text_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import prediction_service_pb2_grpc

from features.errors import InputError
from serving.errors import ServingError
from serving.protos import SSLConfig
from tests.serving.conftest import PATIENCE


@pytest.fixture
def flags(tiny_model):
    return {"model_name": "tiny", "model_base_path": str(tiny_model)}


def self_signed():
    """Key and certificate for localhost, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    addresses = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(addresses), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private, certificate.public_bytes(pem)


def predicts(channel, request):
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    return stub.Predict(request, timeout=PATIENCE).model_spec.version.value


def test_tls_and_client_certificates(start_server, flags, tmp_path, x):
    key, certificate = self_signed()
    client_key, client_certificate = self_signed()
    config = SSLConfig(server_key=key, server_cert=certificate, custom_ca=client_certificate, client_verify=True)
    file = tmp_path / "ssl.config"
    file.write_text(text_format.MessageToString(config))
    client = start_server(**flags, ssl_config_file=str(file))
    port = client.address.partition(":")[2]
    known = grpc.ssl_channel_credentials(certificate, client_key, client_certificate)
    with grpc.secure_channel(f"localhost:{port}", known) as channel:
        assert predicts(channel, client.request(x=x)) == 1
    stranger = grpc.ssl_channel_credentials(certificate)
    with grpc.secure_channel(f"localhost:{port}", stranger) as channel, pytest.raises(grpc.RpcError):
        predicts(channel, client.request(x=x))
    with pytest.raises(grpc.RpcError):
        predicts(client.channel, client.request(x=x))


def test_a_broken_ssl_config_says_which_file(start_server, flags, tmp_path):
    file = tmp_path / "ssl.config"
    file.write_text("server_key: 3")
    with pytest.raises(ServingError, match=r"ssl\.config.*SSLConfig"):
        start_server(**flags, ssl_config_file=str(file))


def test_unix_socket(start_server, flags, tmp_path, x):
    path = tmp_path / "socket"
    client = start_server(**flags, grpc_socket_path=str(path))
    with grpc.insecure_channel(f"unix:{path}") as channel:
        assert predicts(channel, client.request(x=x)) == 1
    assert client.predict(x=x).model_spec.version.value == 1


def test_health_only_by_flag(start_server, flags, tiny):
    request = health_pb2.HealthCheckRequest
    silent = health_pb2_grpc.HealthStub(tiny.channel)
    tiny.refused(silent.Check, request(), grpc.StatusCode.UNIMPLEMENTED)
    client = start_server(**flags, enable_grpc_healthcheck_service=True)
    health = health_pb2_grpc.HealthStub(client.channel)
    for service in ("", "ModelService", "PredictionService"):
        assert health.Check(request(service=service)).status == health_pb2.HealthCheckResponse.SERVING
    client.refused(health.Check, request(service="other"), grpc.StatusCode.NOT_FOUND)


def test_channel_arguments(start_server, flags):
    client = start_server(**flags, grpc_channel_arguments="grpc.max_receive_message_length=1000,grpc.so_reuseport=0")
    small, large = np.arange(10, dtype=np.float32), np.arange(1000, dtype=np.float32)
    assert client.predict(x=small).model_spec.version.value == 1
    client.refused(client.prediction.Predict, client.request(x=large), grpc.StatusCode.RESOURCE_EXHAUSTED)
    with pytest.raises(ServingError, match="'nonsense' is not key=value"):
        start_server(**flags, grpc_channel_arguments="nonsense")


def test_a_port_in_use_is_one_clear_error(start_server, flags, free_port):
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", free_port))
        taken.listen()
        with pytest.raises(InputError, match=f"gRPC cannot listen on 0.0.0.0:{free_port}"):
            start_server(**flags, port=free_port)


def test_a_request_that_is_no_proto_fails_and_the_server_goes_on(tiny, x):
    call = tiny.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    tiny.refused(call, b"\xff\xff\xff", grpc.StatusCode.INTERNAL)
    assert tiny.predict(x=x).model_spec.version.value == 1
