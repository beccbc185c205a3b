import { Server } from "@grpc/grpc-js";
import { policyInterceptor, serveGrpcJs } from "@handfast/grpc/grpc-js";
import { policyFromFile } from "@handfast/policy";
import { memberOf, mutualTlsFromEnv } from "@handfast/tls";
import { handlers, orders } from "./orders.ts";

const transport = await mutualTlsFromEnv(process.env, { admit: memberOf("handfast.internal") });
if (transport.mode !== "mutual-tls") throw new Error("this service speaks mutual TLS only");
const { mtls, host, port } = transport;

const policy = await policyFromFile("policy.json");
const server = new Server({ interceptors: [policyInterceptor(policy)] });
server.addService(orders, handlers);
await serveGrpcJs(server, mtls, { host, port });
console.log("serving, both sides verified");
