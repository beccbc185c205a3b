// One server of the TLS benchmark, a process of its own: it tells its CPU time when asked.
//   argv: bare | bare-no-tickets | handfast, and the folder with the certificates
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { createServer } from "node:tls";

import {
  anyTrustedPeer,
  createMutualTls,
  identityFromFiles,
  noRevocation,
  trustFromFile,
} from "@handfast/tls";

const [kind = "handfast", folder = "."] = process.argv.slice(2);
const file = (name: string): string => join(folder, name);

const port = kind === "handfast" ? await serveHandfast() : await serveBare();
process.send?.({ port });
process.on("message", () => {
  const { user, system } = process.cpuUsage();
  process.send?.({ cpuMicros: user + system, rssBytes: process.memoryUsage.rss() });
});

async function serveHandfast(): Promise<number> {
  const mtls = await createMutualTls({
    identity: identityFromFiles({ certFile: file("server.crt"), keyFile: file("server.key") }),
    trust: trustFromFile(file("ca.crt")),
    revocation: noRevocation(),
    admit: anyTrustedPeer(),
    limits: { perSourcePerSecond: 1e6, perSourceBurst: 1e6 },
  });
  const { address } = await mtls.listen(
    { host: "127.0.0.1", port: 0 },
    {
      h2: {
        accept(socket) {
          socket.end("k");
          return { drain() {}, activity: () => ({ callsInFlight: 0 }) };
        },
        refuse: (socket) => void socket.destroy(),
      },
      clientCertificates: "required",
    },
  );
  return "port" in address ? address.port : 0;
}

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
      socket.end("k");
    },
  );
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}
