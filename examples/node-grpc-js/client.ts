// Asks to be greeted twice a second, and prints the answer whenever it is another than before.
import { env } from "node:process";
import { setTimeout as pause } from "node:timers/promises";

import { grpcChannelCredentials } from "@handfast/grpc/grpc-js";
import { mutualTlsFromEnv, nobody } from "@handfast/tls";
import { createGreeted } from "./greeter.ts";

const transport = await mutualTlsFromEnv(env, { admit: nobody() });
if (transport.mode !== "mutual-tls") {
  throw new Error("this example is about TLS: unset TLS_ENABLED");
}
const { mtls, host, port } = transport;

// Before: credentials.createSsl(ca, key, cert)
const greeted = createGreeted(`${host}:${port}`, grpcChannelCredentials(mtls));
for (let before = ""; ; await pause(500)) {
  const answer = await greeted();
  if (answer !== before) console.log(answer);
  before = answer;
}
