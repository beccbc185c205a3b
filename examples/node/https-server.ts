// Servers on Node's own TLS: `https-server.ts [plain|express|fastify]` greets its callers by name, and prints who
// called and whom it refused.
import type { RequestListener } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { TLSSocket } from "node:tls";
import type { Socket } from "node:net";
import express from "express";
import fastify from "fastify";
import * as settings from "./settings.ts";

const [framework = "plain"] = process.argv.slice(2);
const options = {
  ...settings.credentials(),
  ...settings.revocationLists(),
  minVersion: "TLSv1.3",
  requestCert: true,
  rejectUnauthorized: true,
} as const;
const server =
  framework === "fastify" ? await fastifyServer() : createServer(options, handlerOf(framework));
server.on("tlsClientError", (error: NodeJS.ErrnoException) => {
  console.log(`refused: ${error.code ?? error.message}`);
});
server.listen(settings.port, settings.host, () => {
  console.log(`listening: ${settings.host}:${(server.address() as AddressInfo).port}`);
});

function handlerOf(name: string): RequestListener {
  if (name === "plain") return (request, response) => response.end(greet(request.socket));
  return express().get("/", (request, response) => {
    response.type("text").send(greet(request.socket));
  }) as RequestListener;
}

async function fastifyServer(): Promise<ReturnType<typeof createServer>> {
  const app = fastify({ https: options });
  app.get("/", (request) => greet(request.raw.socket));
  await app.ready();
  return app.server;
}

function greet(socket: Socket): string {
  const certificate = socket instanceof TLSSocket ? socket.getPeerCertificate() : undefined;
  const caller = settings.identityOf(certificate);
  console.log(`accepted: ${caller}`);
  return `hello ${caller}\n`;
}
