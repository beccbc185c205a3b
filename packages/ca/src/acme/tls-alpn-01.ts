import { isIPv4 } from "node:net";
import type { Socket } from "node:net";
import { connect } from "node:tls";
import { parseCertificate } from "@handfast/x509";
import type { Certificate } from "@handfast/x509";
import { tlsDigestOf } from "./challenge.ts";
import type { Identifier } from "./identifier.ts";
import { canonicalAddress, wordsOf } from "./ip-address.ts";
import { ValidationFailure } from "./validation-failure.ts";
import type { Reach } from "./validation-failure.ts";

/**
 * tls-alpn-01 (RFC 8737, RFC 8738 4): the server at port 443 agrees to `acme-tls/1` and proves, by
 * the handshake, that it holds the key of a certificate that names the identifier alone and carries
 * the digest of the key authorization.
 *
 * @throws ValidationFailure
 */
export async function validateTlsAlpn(
  reach: Reach,
  { identifier, keyAuthorization }: { identifier: Identifier; keyAuthorization: string },
): Promise<void> {
  const socket = await reach.connect({ host: identifier.value, port: 443 });
  let certificate;
  try {
    certificate = parseCertificate(await presentedCertificate(socket, identifier));
  } catch (error) {
    if (error instanceof ValidationFailure || reach.signal.aborted) throw error;
    throw new ValidationFailure("incorrectResponse", (error as Error).message);
  } finally {
    socket.destroy();
  }
  const problem = objectionTo(certificate, { identifier, keyAuthorization });
  if (problem !== undefined) throw new ValidationFailure("incorrectResponse", problem);
}

/** The name of an address in the handshake (RFC 8738 6). */
export function serverNameOf({ type, value }: Identifier): string {
  if (type === "dns") return value;
  if (isIPv4(value)) return `${value.split(".").toReversed().join(".")}.in-addr.arpa`;
  return `${nibblesOf(value).toReversed().join(".")}.ip6.arpa`;
}

/**
 * The certificate is taken the moment the handshake is over. Then Node judges it as it judges any
 * other, and refuses the connection, for the certificate is self-signed: nothing is sent over it.
 */
function presentedCertificate(socket: Socket, identifier: Identifier): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const secured = connect({
      socket,
      servername: serverNameOf(identifier),
      ALPNProtocols: [protocol],
      minVersion: "TLSv1.2",
      ca: [],
      rejectUnauthorized: true,
    });
    secured.prependOnceListener("secure", () => {
      const certificate = secured.getPeerX509Certificate();
      if (secured.alpnProtocol !== protocol || certificate === undefined) {
        reject(new ValidationFailure("tls", `${protocol} was not agreed upon`));
      } else {
        resolve(certificate.raw);
      }
    });
    secured.once("secureConnect", () => secured.destroy());
    secured.once("error", (error) => reject(new ValidationFailure("tls", error.message)));
    secured.once("close", () => reject(new ValidationFailure("tls", "the connection was closed")));
  });
}

function objectionTo(
  { subjectAltNames, extensions }: Certificate,
  { identifier, keyAuthorization }: { identifier: Identifier; keyAuthorization: string },
): string | undefined {
  const [name, another] = subjectAltNames.all;
  const { dns, ip } = subjectAltNames;
  const value = identifier.type === "dns" ? dns[0] : ip[0] && canonicalAddress(ip[0]);
  if (name === undefined || another !== undefined || value !== identifier.value) {
    return "the certificate does not name the identifier alone";
  }
  const extension = extensions.find(({ oid }) => oid === acmeIdentifier);
  if (extension === undefined || !extension.critical) {
    return "the certificate has no critical acmeIdentifier";
  }
  const digest = Buffer.from(tlsDigestOf(keyAuthorization));
  const expected = Buffer.concat([Uint8Array.of(0x04, digest.length), digest]);
  return expected.equals(extension.value) ? undefined : "acmeIdentifier is another one";
}

function nibblesOf(address: string): readonly string[] {
  return wordsOf(address).flatMap((word) => word.toString(16).padStart(4, "0").split(""));
}

const protocol = "acme-tls/1";
const acmeIdentifier = "1.3.6.1.5.5.7.1.31";
