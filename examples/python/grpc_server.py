"""A grpcio server over mutual TLS: serves its health, and prints who called.

grpcio says nothing of the clients it refuses, and does not look at revocation lists.
"""

from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from mutualtls import HOST, PORT, read


class Health(health.HealthServicer):
    """Health, with a line for each caller."""

    def Check(self, request, context):
        names = context.auth_context().get("x509_subject_alternative_name", [])
        uris = [name.decode() for name in names if b"://" in name]
        print(f"accepted: {uris[0] if len(uris) == 1 else 'nobody'}", flush=True)
        return super().Check(request, context)


servicer = Health()
servicer.set("", health_pb2.HealthCheckResponse.SERVING)
server = grpc.server(ThreadPoolExecutor(max_workers=4))
health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
credentials = grpc.ssl_server_credentials(
    [(read("KEY_FILE"), read("CERT_FILE"))], read("CA_FILE"), require_client_auth=True
)
port = server.add_secure_port(f"{HOST}:{PORT}", credentials)
server.start()
print(f"listening: {HOST}:{port}", flush=True)
server.wait_for_termination()
