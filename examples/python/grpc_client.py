"""A grpcio client over mutual TLS: asks a server for its health, and prints what it was told."""

import sys

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mutualtls import HOST, PORT, read

credentials = grpc.ssl_channel_credentials(read("CA_FILE"), read("KEY_FILE"), read("CERT_FILE"))
with grpc.secure_channel(f"{HOST}:{PORT}", credentials) as channel:
    try:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    except grpc.RpcError as error:
        print(f"error: {error.code().name}: {error.details()}")
        sys.exit(1)
print(f"ok: {health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)}")
