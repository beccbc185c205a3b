// Go: grpc-go and net/http, from examples/go.
import { cached, needs, alerted, theirAlert } from "./peers.ts";
import type { Peer } from "./peers.ts";

const wrongName = /certificate is valid for elsewhere, not localhost/;
const said = {
  noCertificate: /^refused: .*client didn't provide a certificate$/,
  wrongAuthority: /^refused: .*certificate signed by unknown authority.*$/,
  expired: /^refused: .*certificate has expired or is not yet valid.*$/,
  revoked: /^refused: .*the certificate has been revoked$/,
};

/** The grpc-go and net/http peers. */
export const goPeers: readonly Peer[] = [
  {
    name: "grpc-go",
    protocol: "grpc",
    lacks: () => needs(cached("go", "grpc-server"), "Go"),
    client: {
      argv: () => [cached("go", "grpc-client")],
      ok: /^ok: SERVING$/,
      wrongName,
      wrongNameSeen: theirAlert,
    },
    server: {
      argv: () => [cached("go", "grpc-server")],
      accepted: { us: /^ok: SERVING$/, peer: /^accepted: spiffe:\/\/handfast\.internal\/client$/ },
      noCertificate: { us: alerted("NO_CLIENT_CERTIFICATE"), peer: said.noCertificate },
      wrongAuthority: { us: alerted("CERTIFICATE_AUTHORITY_INVALID"), peer: said.wrongAuthority },
      expired: { us: alerted("CERTIFICATE_EXPIRED"), peer: said.expired },
      revoked: { us: alerted("CERTIFICATE_VERIFICATION_FAILED"), peer: said.revoked },
      refusedByUs: undefined,
    },
  },
  {
    name: "Go net/http",
    protocol: "http",
    lacks: () => needs(cached("go", "http-server"), "Go"),
    client: {
      argv: () => [cached("go", "http-client")],
      ok: /^ok: 200 hello spiffe:\/\/handfast\.internal\/client$/,
      wrongName,
      wrongNameSeen: theirAlert,
    },
    server: {
      argv: () => [cached("go", "http-server")],
      accepted: {
        us: /^ok: 200 hello spiffe:\/\/handfast\.internal\/client$/,
        peer: /^accepted: spiffe:\/\/handfast\.internal\/client$/,
      },
      noCertificate: { us: alerted("NO_CLIENT_CERTIFICATE"), peer: said.noCertificate },
      wrongAuthority: { us: alerted("CERTIFICATE_AUTHORITY_INVALID"), peer: said.wrongAuthority },
      expired: { us: alerted("CERTIFICATE_EXPIRED"), peer: said.expired },
      revoked: { us: alerted("CERTIFICATE_VERIFICATION_FAILED"), peer: said.revoked },
      refusedByUs: undefined,
    },
  },
];
