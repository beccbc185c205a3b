// A plain @grpc/grpc-js server over mutual TLS: serves its health, and prints who called. It does not look at
// revocation lists and says nothing of clients it refuses: `serveGrpcJs` of @handfast/grpc/grpc-js does both.
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { sendUnaryData, ServerUnaryCall } from "@grpc/grpc-js";
import { health } from "./health.ts";
import type { HealthStatus } from "./health.ts";
import * as settings from "./settings.ts";

const { ca, cert, key } = settings.credentials();
if (cert === undefined || key === undefined) throw new Error("CERT_FILE and KEY_FILE are not set");

const server = new Server();
server.addService(health, {
  check(call: ServerUnaryCall<object, HealthStatus>, answer: sendUnaryData<HealthStatus>) {
    console.log(`accepted: ${settings.identityOf(call.getAuthContext()?.sslPeerCertificate)}`);
    answer(null, { status: 1 });
  },
});
const required = true;
server.bindAsync(
  `${settings.host}:${settings.port}`,
  ServerCredentials.createSsl(ca[0] ?? null, [{ private_key: key, cert_chain: cert }], required),
  (error, port) => {
    if (error !== null) throw error;
    console.log(`listening: ${settings.host}:${port}`);
  },
);
