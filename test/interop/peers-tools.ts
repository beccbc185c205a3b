// Tools: curl, openssl, grpcurl and buf curl.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { cached, needs, onPath, alerted, theirAlert, theirDeparture } from "./peers.ts";
import type { Peer, Settings } from "./peers.ts";

const grpcurl = cached("go", "grpcurl");
const buf = fileURLToPath(new URL("../../node_modules/.bin/buf", import.meta.url));

/** The options of a certificate, if there is one. */
function certificate(
  { CERT_FILE, KEY_FILE }: Settings,
  [cert, key]: readonly [string, string],
): readonly string[] {
  return CERT_FILE === undefined || KEY_FILE === undefined ? [] : [cert, CERT_FILE, key, KEY_FILE];
}

/** The curl, openssl, grpcurl and buf peers. */
export const toolPeers: readonly Peer[] = [
  {
    name: "curl",
    protocol: "http",
    lacks: () => onPath("curl"),
    client: {
      argv: (settings) => [
        "curl",
        "--silent",
        "--show-error",
        "--fail-with-body",
        "--tlsv1.3",
        "--cacert",
        settings.CA_FILE,
        ...certificate(settings, ["--cert", "--key"]),
        `https://${settings.HOST}:${settings.PORT}/`,
      ],
      ok: /^hello spiffe:\/\/handfast\.internal\/client$/m,
      refusal: (code) => new RegExp(`^${code}: .+$`, "m"),
      wrongName: /no alternative certificate subject name matches target host name 'localhost'/,
      wrongNameSeen: theirDeparture,
    },
  },
  {
    name: "openssl",
    protocol: "http",
    lacks: () => onPath("openssl"),
    client: {
      argv: (settings) => [
        "openssl",
        "s_client",
        "-quiet",
        "-tls1_3",
        "-alpn",
        "http/1.1",
        "-connect",
        `${settings.HOST}:${settings.PORT}`,
        "-servername",
        settings.HOST,
        "-verify_hostname",
        settings.HOST,
        "-verify_return_error",
        "-CAfile",
        settings.CA_FILE,
        ...certificate(settings, ["-cert", "-key"]),
        ...(settings.CERT_FILE === undefined ? [] : ["-cert_chain", settings.CERT_FILE]),
      ],
      input: "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
      ok: /^hello spiffe:\/\/handfast\.internal\/client$/m,
      refusal: (code) => new RegExp(`^${code}: .+$`, "m"),
      exitCode: "meaningless",
      wrongName: /verify error:num=62:hostname mismatch/,
      wrongNameSeen: theirAlert,
    },
    server: {
      argv: ({ CERT_FILE = "", KEY_FILE = "", CA_FILE, CRL_DIR = "" }) => [
        "openssl",
        "s_server",
        "-accept",
        "127.0.0.1:0",
        "-www",
        "-alpn",
        "http/1.1",
        "-cert",
        CERT_FILE,
        "-key",
        KEY_FILE,
        "-cert_chain",
        CERT_FILE,
        "-CAfile",
        CA_FILE,
        "-Verify",
        "3",
        "-verify_return_error",
        "-crl_check",
        "-CRL",
        issuingList(CRL_DIR),
      ],
      listening: /^ACCEPT .*:(\d+)/,
      accepted: { us: /^ok: 200/, peer: undefined },
      noCertificate: {
        us: alerted("NO_CLIENT_CERTIFICATE"),
        peer: /peer did not return a certificate/,
      },
      wrongAuthority: {
        us: alerted("CERTIFICATE_AUTHORITY_INVALID"),
        peer: /unable to get local issuer certificate/,
      },
      expired: { us: alerted("CERTIFICATE_EXPIRED"), peer: /certificate has expired/ },
      revoked: { us: alerted("CERTIFICATE_REVOKED"), peer: /certificate revoked/ },
      refusedByUs: undefined,
    },
  },
  {
    name: "grpcurl",
    protocol: "grpc",
    lacks: () => needs(grpcurl, "grpcurl"),
    client: {
      argv: (settings) => [
        grpcurl,
        "-max-time",
        "10",
        "-cacert",
        settings.CA_FILE,
        ...certificate(settings, ["-cert", "-key"]),
        `${settings.HOST}:${settings.PORT}`,
        "grpc.health.v1.Health/Check",
      ],
      ok: /"status": "SERVING"/,
      refusal: (code) => new RegExp(`Unauthenticated.* ${code}: .+$`, "m"),
      wrongName: /certificate is valid for elsewhere, not localhost/,
      wrongNameSeen: theirAlert,
    },
  },
  {
    name: "buf curl",
    protocol: "grpc",
    lacks: () => needs(buf, "buf"),
    client: {
      argv: (settings) => [
        buf,
        "curl",
        "--protocol",
        "grpc",
        "--cacert",
        settings.CA_FILE,
        "--data",
        "{}",
        ...certificate(settings, ["--cert", "--key"]),
        `https://${settings.HOST}:${settings.PORT}/grpc.health.v1.Health/Check`,
      ],
      ok: /"status": ?"SERVING"/,
      // It asks by reflection first, and keeps to itself why it got no answer.
      refusal: () => /failed to find service named "grpc\.health\.v1\.Health" in schema/,
      wrongName: /failed to find service named "grpc\.health\.v1\.Health" in schema/,
      wrongNameSeen: theirAlert,
    },
  },
];

function issuingList(directory: string): string {
  const name = readdirSync(directory).find((file) => !file.includes("root"));
  return join(directory, name ?? "");
}
