// Node without Handfast: @grpc/grpc-js, node:https, undici, Express and Fastify, from examples/node.
import { alerted, example, leftWithoutWords, theirDeparture } from "./peers.ts";
import type { Peer, Program } from "./peers.ts";

const program = (name: string, ...words: readonly string[]): Program => ({
  argv: () => [
    process.execPath,
    "--conditions=@handfast/source",
    example(`node/${name}`),
    ...words,
  ],
});
const lacks = (): undefined => undefined;
const caller = /^accepted: spiffe:\/\/handfast\.internal\/client$/;
const greeted = /^ok: 200 hello spiffe:\/\/handfast\.internal\/client$/;

const wrongName = /Host: localhost\. is not in the cert's altnames: DNS:elsewhere/;

const httpServer = (framework: string): NonNullable<Peer["server"]> => ({
  ...program("https-server.ts", framework),
  accepted: { us: greeted, peer: caller },
  noCertificate: {
    us: alerted("NO_CLIENT_CERTIFICATE"),
    peer: /^refused: ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE$/,
  },
  wrongAuthority: { us: leftWithoutWords.http, peer: /^refused: .+$/ },
  expired: { us: leftWithoutWords.http, peer: /^refused: .+$/ },
  revoked: { us: leftWithoutWords.http, peer: /^refused: .+$/ },
  refusedByUs: undefined,
});

/** The peers that are Node's own TLS, or stand on it. */
export const nodePeers: readonly Peer[] = [
  {
    name: "grpc-js",
    protocol: "grpc",
    lacks,
    client: {
      ...program("grpc-client.ts"),
      ok: /^ok: SERVING$/,
      wrongName,
      wrongNameSeen: theirDeparture,
    },
    server: {
      ...program("grpc-server.ts"),
      accepted: { us: /^ok: SERVING$/, peer: caller },
      noCertificate: { us: alerted("NO_CLIENT_CERTIFICATE"), peer: undefined },
      wrongAuthority: { us: leftWithoutWords.grpc, peer: undefined },
      expired: { us: leftWithoutWords.grpc, peer: undefined },
      refusedByUs: undefined,
    },
  },
  {
    name: "node:https",
    protocol: "http",
    lacks,
    client: {
      ...program("https-client.ts"),
      ok: greeted,
      wrongName,
      wrongNameSeen: theirDeparture,
    },
    server: httpServer("plain"),
  },
  {
    name: "undici",
    protocol: "http",
    lacks,
    client: {
      ...program("undici-client.ts"),
      ok: greeted,
      wrongName,
      wrongNameSeen: theirDeparture,
    },
  },
  { name: "Express", protocol: "http", lacks, server: httpServer("express") },
  { name: "Fastify", protocol: "http", lacks, server: httpServer("fastify") },
];
