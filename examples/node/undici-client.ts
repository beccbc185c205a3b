// An undici client over mutual TLS: asks a server for its front page, and prints what it was told.
import { Agent, request } from "undici";
import * as settings from "./settings.ts";

const { host, port } = settings;
const connect = { ...settings.credentials(), minVersion: "TLSv1.3" } as const;
const dispatcher = new Agent({ connect });
try {
  const { statusCode, body } = await request(`https://${host}:${port}/`, { dispatcher });
  const text = (await body.text()).trim();
  console.log(`${statusCode === 200 ? "ok" : "error"}: ${statusCode} ${text}`);
  if (statusCode !== 200) process.exitCode = 1;
} catch (error) {
  console.log(`error: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
} finally {
  await dispatcher.destroy();
}
