// A plain @grpc/grpc-js client over mutual TLS: asks a server for its health, and prints what it was told.
import { Client, credentials, status } from "@grpc/grpc-js";
import type { ServiceError } from "@grpc/grpc-js";
import { health } from "./health.ts";
import type { HealthStatus } from "./health.ts";
import * as settings from "./settings.ts";

const { ca, cert, key } = settings.credentials();
const client = new Client(
  `${settings.host}:${settings.port}`,
  credentials.createSsl(ca[0], key ?? null, cert ?? null),
);
const { path, requestSerialize, responseDeserialize } = health.check;
const deadline = Date.now() + 10_000;
client.makeUnaryRequest(path, requestSerialize, responseDeserialize, {}, { deadline }, report);

function report(error: ServiceError | null, answer?: HealthStatus): void {
  if (error === null) {
    console.log(`ok: ${answer?.status === 1 ? "SERVING" : "NOT_SERVING"}`);
  } else {
    console.log(`error: ${status[error.code]}: ${error.details}`);
    process.exitCode = 1;
  }
  client.close();
}
