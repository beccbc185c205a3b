import { anonymousPrincipal, plaintextPrincipal } from "@handfast/policy";
import type { Principal } from "@handfast/policy";
import type { PeerCertificate, VerifiedPeer } from "@handfast/tls";

/** What a policy may know of a verified peer (made once per connection), or of who calls through a proxy. */
export function principalOf(peer: PeerCertificate): Principal {
  return {
    authenticated: true,
    uriSans: peer.uriSans,
    dnsSans: peer.dnsSans,
    subject: peer.subject,
    organizations: peer.organizations,
    commonNames: peer.commonNames,
    issuer: peer.certificate.issuer.text,
    issuerFingerprints: peer.chain.slice(1).map(({ fingerprint }) => fingerprint),
  };
}

/** The principal of a connection; without a peer plaintext and TLS are kept apart (security.md S27). */
export function connectionPrincipal(
  peer: VerifiedPeer | undefined,
  transport: "tls" | "plaintext",
): Principal {
  if (peer !== undefined) return principalOf(peer);
  return transport === "tls" ? anonymousPrincipal : plaintextPrincipal;
}
