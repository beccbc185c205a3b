// A node:https client over mutual TLS: asks a server for its front page, and prints what it was told.
import { request } from "node:https";
import { text } from "node:stream/consumers";
import * as settings from "./settings.ts";

const { host, port } = settings;
request({ host, port, ...settings.credentials(), minVersion: "TLSv1.3", agent: false })
  .once("response", (response) => {
    text(response).then((body) => report(response.statusCode ?? 0, body.trim()), fail);
  })
  .once("error", fail)
  .end();

function report(status: number, body: string): void {
  console.log(`${status === 200 ? "ok" : "error"}: ${status} ${body}`);
  if (status !== 200) process.exitCode = 1;
}

function fail(error: Error): void {
  console.log(`error: ${error.message}`);
  process.exitCode = 1;
}
