// Two clients on the same runtime: Node's own fetch, and https.request for everything built on it.
import { request } from "node:https";
import { env } from "node:process";
import { text } from "node:stream/consumers";

import { mutualTlsFromEnv, nobody } from "@handfast/tls";
import { Agent } from "undici";

const transport = await mutualTlsFromEnv(env, { admit: nobody() });
if (transport.mode !== "mutual-tls")
  throw new Error("this example is about TLS: unset TLS_ENABLED");
const { mtls, host, port } = transport;
const url = `https://${host}:${port}/`;

const dispatcher = new Agent({ connect: mtls.undiciConnect });
// Node's types know the dispatcher of the undici that it brings along.
const fetched = await fetch(url, { dispatcher } as unknown as RequestInit);
console.log(`fetch: ${fetched.status} ${(await fetched.text()).trim()}`);
await dispatcher.close();

const agent = mtls.httpsAgent({ keepAlive: true });
const answer = await new Promise<string>((resolve, reject) => {
  request(url, { agent }, (response) => {
    text(response).then((body) => resolve(`${response.statusCode} ${body.trim()}`), reject);
  })
    .once("error", reject)
    .end();
});
console.log(`https.request: ${answer}`);
agent.destroy();
await mtls.close();
