// Python: grpcio, httpx and FastAPI on uvicorn, from examples/python.
import { cached, example, needs, leftWithoutWords, theirAlert, theirDeparture } from "./peers.ts";
import type { Peer, Program } from "./peers.ts";

const python = cached("python", "bin", "python");
const lacks = (): string | undefined => needs(python, "Python");
const program = (name: string): Program => ({ argv: () => [python, example(`python/${name}`)] });
const caller = /^accepted: spiffe:\/\/handfast\.internal\/client$/;

/** The grpcio, httpx and FastAPI peers. */
export const pythonPeers: readonly Peer[] = [
  {
    name: "grpcio",
    protocol: "grpc",
    lacks,
    client: {
      ...program("grpc_client.py"),
      ok: /^ok: SERVING$/m,
      wrongName: /Hostname Verification Check failed/,
      wrongNameSeen: theirDeparture,
    },
    server: {
      ...program("grpc_server.py"),
      accepted: { us: /^ok: SERVING$/, peer: caller },
      noCertificate: { us: leftWithoutWords.grpc, peer: undefined },
      wrongAuthority: { us: leftWithoutWords.grpc, peer: undefined },
      expired: { us: leftWithoutWords.grpc, peer: undefined },
      refusedByUs: undefined,
    },
  },
  {
    name: "httpx, FastAPI",
    protocol: "http",
    lacks,
    client: {
      ...program("http_client.py"),
      ok: /^ok: 200 hello spiffe:\/\/handfast\.internal\/client$/,
      wrongName: /certificate is not valid for 'localhost'/,
      wrongNameSeen: theirAlert,
    },
    server: {
      ...program("http_server.py"),
      accepted: { us: /^ok: 200 hello spiffe:\/\/handfast\.internal\/client$/, peer: caller },
      noCertificate: { us: leftWithoutWords.http, peer: undefined },
      wrongAuthority: { us: leftWithoutWords.http, peer: undefined },
      expired: { us: leftWithoutWords.http, peer: undefined },
      revoked: { us: leftWithoutWords.http, peer: undefined },
      refusedByUs: undefined,
    },
  },
];
