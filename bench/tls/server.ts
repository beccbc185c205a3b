// One Node server of the TLS benchmark, a process of its own.
//   argv: bare | handfast, the folder with the certificates, and any of "resume", "hold"
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createServer } from "node:tls";
import type { TLSSocket } from "node:tls";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import {
  createMutualTls,
  crlFromDirectory,
  identityFromFiles,
  memberOf,
  trustFromFile,
} from "@handfast/tls";

/** What it says to each message: the memory it holds after a garbage collection. */
export interface ServerReport {
  readonly rssBytes: number;
}

const [kind = "handfast", folder = ".", ...modes] = process.argv.slice(2);
const file = (name: string): string => join(folder, name);

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

const port = kind === "handfast" ? await serveHandfast() : await serveBare();
process.send?.({ port });
process.on("message", () => {
  collectGarbage();
  process.send?.({ rssBytes: process.memoryUsage.rss() } satisfies ServerReport);
});
process.on("disconnect", () => process.exit());

/** Everything a service has: verifier, lists, a rule, a listener of events. */
async function serveHandfast(): Promise<number> {
  let handshakes = 0;
  const mtls = await createMutualTls({
    identity: identityFromFiles({ certFile: file("server.crt"), keyFile: file("server.key") }),
    trust: trustFromFile(file("ca.crt")),
    revocation: crlFromDirectory(file("crls"), { undetermined: "refuse" }),
    admit: memberOf("handfast.test"),
    onEvent: (event) => void (event.type === "handshake" && handshakes++),
    resumption: modes.includes("resume"),
    limits: { perSourcePerSecond: 1e6, perSourceBurst: 1e6, sessionsPerIdentity: 1e6 },
  });
  const { address } = await mtls.listen(
    { host: "127.0.0.1", port: 0 },
    {
      h2: {
        accept(socket) {
          answer(socket);
          return { drain() {}, activity: () => ({ callsInFlight: 0 }) };
        },
        refuse: (socket) => void socket.destroy(),
      },
      clientCertificates: "required",
    },
  );
  return "port" in address ? address.port : 0;
}

/** Node's defaults: tickets are sent, revocation is not looked at. */
async function serveBare(): Promise<number> {
  const server = createServer(
    {
      cert: readFileSync(file("server.crt")),
      key: readFileSync(file("server.key")),
      ca: [readFileSync(file("ca.crt"))],
      requestCert: true,
      rejectUnauthorized: true,
      ALPNProtocols: ["h2"],
    },
    (socket) => {
      // What any server with mutual TLS does at least: read the name of its peer.
      void socket.getPeerCertificate().subject.CN;
      socket.on("error", () => {});
      answer(socket);
    },
  );
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}

function answer(socket: TLSSocket): void {
  socket.resume();
  if (modes.includes("hold")) socket.write("k");
  else socket.end("k");
}
