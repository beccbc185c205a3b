/**
 * The ways in which mutual TLS fails in practice, most likely first within a group. `means` says what is wrong,
 * `seenAs` the words of other programs for it (what people search for), `mend` what to do: words in braces are
 * filled in where they are known.
 */
export const ailments = {
  // reaching the server
  HOST_UNKNOWN: {
    means: "the host name has no address",
    seenAs: ["getaddrinfo ENOTFOUND", "no such host", "Name or service not known"],
    mend: "check the spelling, and whether this machine asks the right DNS: `getent hosts {host}`",
  },
  CONNECTION_REFUSED: {
    means: "nothing listens on that port",
    seenAs: ["connect ECONNREFUSED", "connection refused", "failed to connect to all addresses"],
    mend: "start the server, or use the port it listens on; a server bound to 127.0.0.1 is not reached from other machines: set HOST=0.0.0.0",
  },
  CONNECTION_TIMED_OUT: {
    means: "packets to that address are not answered",
    seenAs: ["connect ETIMEDOUT", "i/o timeout", "EHOSTUNREACH", "ENETUNREACH"],
    mend: "look for a firewall, security group or network policy between the two: `nc -vz {host} {port}`",
  },
  SERVER_SILENT: {
    means: "the port accepts connections, and does not answer the beginning of TLS",
    seenAs: ["TLS handshake timeout", "context deadline exceeded", "SSL_connect: timeout"],
    mend: "check that {port} is the TLS port of this service; a load balancer without a live backend looks like this too",
  },
  CLOSED_AT_ONCE: {
    means: "the connection was closed before the handshake was over, without a word",
    seenAs: [
      "Client network socket disconnected before secure TLS connection was established",
      "unexpected EOF",
      "socket hang up",
      "ECONNRESET",
    ],
    mend: "read the server's log; a proxy that knows no backend for the name {name} does this, and so does a server that failed to load its key",
  },
  PLAINTEXT_SERVER: {
    means: "the server does not speak TLS on this port",
    seenAs: [
      "wrong version number",
      "packet length too long",
      "first record does not look like a TLS handshake",
      "http: server gave HTTP response to HTTPS client",
    ],
    mend: "set TLS_ENABLED=true on the server, or dial its TLS port",
  },

  // agreeing on TLS
  TLS_VERSION: {
    means: "the server shares no version of TLS with this client",
    seenAs: [
      "unsupported protocol",
      "tlsv1 alert protocol version",
      "tls: server selected unsupported protocol version",
    ],
    mend: "allow TLS 1.3 on the server (for older programs 1.2 too); 1.0 and 1.1 are no longer spoken",
  },
  NO_SHARED_CIPHER: {
    means: "the two share no cipher suite",
    seenAs: ["no shared cipher", "sslv3 alert handshake failure", "NO_CYPHER_OVERLAP"],
    mend: "allow TLS 1.3, or with 1.2 an ECDHE suite with AES-GCM or ChaCha20-Poly1305 that fits the server's key",
  },
  NO_SHARED_GROUP: {
    means: "the two share no key exchange group, suite or signature scheme",
    seenAs: [
      "sslv3 alert handshake failure",
      "no suitable key share",
      "no shared group",
      "tls: no supported elliptic curves",
    ],
    mend: "allow X25519MLKEM768, X25519, P-256 or P-384 on the server, and certificates with ECDSA, Ed25519, RSA or ML-DSA keys",
  },
  ALPN_NO_H2: {
    means: "the server does not offer HTTP/2 (ALPN h2), which gRPC needs",
    seenAs: [
      "no application protocol",
      "missing selected ALPN property",
      "http2: frame too large",
      "Received bad client magic byte string",
    ],
    mend: "serve gRPC on this port; in nginx `http2 on` with `grpc_pass`, on a load balancer an HTTP/2 or TCP listener",
  },
  ALPN_NO_HTTP1: {
    means: "the server speaks HTTP/2 only; a client of HTTP/1.1 is turned away",
    seenAs: ["no application protocol", "Parse Error: Expected HTTP/"],
    mend: "use an HTTP/2 client, or serve http/1.1 on this port too",
  },
  SNI_REFUSED: {
    means: "the server knows no certificate for the name that was asked for",
    seenAs: ["tlsv1 unrecognized name", "unrecognized_name", "no such virtual host"],
    mend: "dial a name the server is configured for, or add {name} to its configuration",
  },
  NO_POST_QUANTUM: {
    means:
      "the server has no post-quantum key exchange: what is recorded today can be read one day",
    seenAs: ["no suitable key share", "X25519MLKEM768 not supported"],
    mend: "run the server on OpenSSL 3.5, Go 1.24 or Node 24.7 and later, with X25519MLKEM768 allowed",
  },
  TLS12_ONLY: {
    means:
      "the server speaks TLS 1.2 and not 1.3: certificates travel in the clear, and clients of Handfast need `minVersion`",
    seenAs: ["tlsv1 alert protocol version", "PROTOCOL_VERSION_UNSUPPORTED"],
    mend: 'allow TLS 1.3 on the server, or give the client `minVersion: "TLSv1.2"`',
  },

  // the server's certificate
  NO_TRUST: {
    means: "no CA bundle was given, so that nobody can be verified",
    seenAs: ["unable to get local issuer certificate", "certificate signed by unknown authority"],
    mend: "name the bundle that the client trusts: `--ca FILE`",
  },
  SERVER_SELF_SIGNED: {
    means: "the server's certificate is signed by itself and not by a CA",
    seenAs: [
      "self-signed certificate",
      "self signed certificate",
      "DEPTH_ZERO_SELF_SIGNED_CERT",
      "x509: certificate signed by unknown authority",
    ],
    mend: "issue one with your CA: `handfast issue NAME --san {name}`",
  },
  SERVER_CHAIN_INCOMPLETE: {
    means: "the server sends its certificate without the intermediate CA that signed it",
    seenAs: [
      "unable to verify the first certificate",
      "unable to get local issuer certificate",
      "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
      "certificate verify failed",
    ],
    mend: "give the server a file with the leaf first and every intermediate after it: `cat leaf.pem issuing.pem > chain.pem`",
  },
  SERVER_CA_UNKNOWN: {
    means: "the server's certificate is of a CA that is not in the client's bundle",
    seenAs: [
      "certificate verify failed: unable to get local issuer certificate",
      "self-signed certificate in certificate chain",
      "x509: certificate signed by unknown authority",
      "SELF_SIGNED_CERT_IN_CHAIN",
    ],
    mend: "trust the server's CA (`--ca`, CA_FILE), or give the server a certificate of yours; after a new `init` the old bundle may still be in use",
  },
  SERVER_EXPIRED: {
    means: "the server's certificate, or one above it, has expired",
    seenAs: [
      "certificate has expired",
      "CERT_HAS_EXPIRED",
      "x509: certificate has expired or is not yet valid",
    ],
    mend: "`handfast renew NAME` on the server's side; a server that was not told of the new file needs a restart, one of Handfast does not",
  },
  CLOCK_WRONG: {
    means: "the clock of this machine is wrong",
    seenAs: ["certificate is not yet valid", "certificate has expired", "current time is before"],
    mend: "set the clock, by NTP: `timedatectl status`",
  },
  SERVER_NOT_YET_VALID: {
    means: "the server's certificate is not valid yet",
    seenAs: ["certificate is not yet valid", "CERT_NOT_YET_VALID", "certificate not valid"],
    mend: "compare the clocks of both machines with the validity: `handfast inspect {host}:{port}`",
  },
  SERVER_NO_SAN: {
    means: "the server's certificate has no DNS name or address: the common name is not looked at",
    seenAs: [
      "certificate relies on legacy Common Name field, use SANs instead",
      "ERR_TLS_CERT_ALTNAME_INVALID",
    ],
    mend: "issue it with the name that clients dial: `handfast issue NAME --san {name} --force`",
  },
  SERVER_NAME_MISMATCH: {
    means: "the server's certificate is not for the name that was dialled",
    seenAs: [
      "Hostname/IP does not match certificate's altnames",
      "x509: certificate is valid for a, not b",
      "because it doesn't contain any IP SANs",
      "ERR_TLS_CERT_ALTNAME_INVALID",
    ],
    mend: "dial a name it has, or issue it with this one: `handfast issue NAME --san {name} --force`",
  },
  SERVER_IDENTITY_MISMATCH: {
    means: "the server is not who was expected",
    seenAs: ["unexpected ID", "CERTIFICATE_HOSTNAME_MISMATCH"],
    mend: "check the SPIFFE id that is expected, and that {host} leads to that service",
  },
  SERVER_WRONG_PURPOSE: {
    means: "the server's certificate is not for servers (extended key usage serverAuth is missing)",
    seenAs: [
      "unsupported certificate purpose",
      "unsuitable certificate purpose",
      "x509: certificate specifies an incompatible key usage",
      "INVALID_PURPOSE",
    ],
    mend: "issue it for servers: `handfast issue NAME --profile peer --force`",
  },
  SERVER_REVOKED: {
    means: "the server's certificate has been revoked",
    seenAs: ["certificate revoked", "CERT_REVOKED"],
    mend: "give the server a new certificate and key: `handfast issue NAME --force`",
  },
  SERVER_REFUSED: {
    means: "the server's certificate cannot be accepted",
    seenAs: ["certificate verify failed", "bad certificate", "ca md too weak", "ee key too small"],
    mend: "see what is wrong with it: `handfast inspect {host}:{port}`; then issue it anew",
  },

  // the client's certificate, as the server sees it
  CERTIFICATE_NOT_ASKED_FOR: {
    means:
      "the server lets anybody in: it does not require a client certificate, so this is not mutual TLS",
    seenAs: ["no client certificate", "peer certificate is empty", "client identity unknown"],
    mend: "require one: `requestCert` with `rejectUnauthorized` in Node, `tls.RequireAndVerifyClientCert` in Go, `ssl_verify_client on` in nginx, `checkClientCertificate: true` in grpc-js",
  },
  CERTIFICATE_OPTIONAL: {
    means: "the server asks for a client certificate and goes on without one",
    seenAs: ["no client certificate", "ssl_verify_client optional"],
    mend: "require it in TLS, or make sure that every handler refuses callers without one",
  },
  CLIENT_CERTIFICATE_MISSING: {
    means: "the server requires a client certificate, and none was sent",
    seenAs: [
      "no client certificate",
      "tlsv13 alert certificate required",
      "peer did not return a certificate",
      "tls: client didn't provide a certificate",
      "400 No required SSL certificate was sent",
    ],
    mend: "give the client a certificate and its key (`--cert`, `--key`; CERT_FILE, KEY_FILE): `handfast issue NAME`",
  },
  CLIENT_CA_UNKNOWN: {
    means: "the server does not trust the CA of the client's certificate",
    seenAs: [
      "tlsv1 alert unknown ca",
      "certificate signed by unknown authority",
      "certificate verify failed",
      "CERTIFICATE_AUTHORITY_INVALID",
    ],
    mend: "issue the client's certificate with the CA the server trusts, or add the client's CA to the server's bundle",
  },
  CLIENT_CHAIN_INCOMPLETE: {
    means: "the client sends its certificate without the intermediate CA that signed it",
    seenAs: [
      "unable to get local issuer certificate",
      "unable to verify the first certificate",
      "tlsv1 alert unknown ca",
    ],
    mend: "give the client a file with the leaf first and every intermediate after it: `cat leaf.pem issuing.pem > chain.pem`",
  },
  CLIENT_EXPIRED: {
    means: "the client's certificate has expired",
    seenAs: [
      "ssl/tls alert certificate expired",
      "sslv3 alert certificate expired",
      "certificate has expired",
    ],
    mend: "`handfast renew NAME` on the client's side",
  },
  CLIENT_NOT_YET_VALID: {
    means: "the client's certificate is not valid yet by the server's clock",
    seenAs: ["certificate is not yet valid", "certificate not valid", "bad certificate"],
    mend: "compare the clocks of both machines: `timedatectl status`",
  },
  CLIENT_WRONG_PURPOSE: {
    means: "the client's certificate is not for clients (extended key usage clientAuth is missing)",
    seenAs: [
      "unsupported certificate purpose",
      "sslv3 alert unsupported certificate",
      "x509: certificate specifies an incompatible key usage",
    ],
    mend: "issue it for clients: `handfast issue NAME --profile peer --force`",
  },
  CLIENT_REVOKED: {
    means: "the client's certificate has been revoked",
    seenAs: ["ssl/tls alert certificate revoked", "sslv3 alert certificate revoked"],
    mend: "enrol anew, with a new key: `handfast issue NAME --force`",
  },
  CLIENT_NOT_ADMITTED: {
    means: "the server verified the client's certificate, and does not admit its identity",
    seenAs: ["access denied", "tlsv1 alert access denied", "NOT_ADMITTED", "403 Forbidden"],
    mend: "add the identity to the server's admission rule (`admit`), or use another certificate",
  },
  CLIENT_REFUSED: {
    means: "the server refuses the client's certificate and does not say why",
    seenAs: [
      "ssl/tls alert bad certificate",
      "certificate verify failed",
      "400 The SSL certificate error",
      "remote error: tls: bad certificate",
    ],
    mend: "check the certificate as the server would: `handfast verify FILE --ca SERVERS-BUNDLE --purpose client`; the server's log says the reason",
  },
  CALL_DENIED: {
    means: "TLS is well on both sides: the server's policy denies this caller its health check",
    seenAs: ["PERMISSION_DENIED", "authz: unauthorized RPC request rejected"],
    mend: "see which rule decides: `handfast policy decide`",
  },

  // files on this side
  FILE_UNREADABLE: {
    means: "a file cannot be read",
    seenAs: ["ENOENT: no such file or directory", "EACCES: permission denied"],
    mend: "check the path and who may read it: `ls -l {file}`",
  },
  FILE_NOT_PEM: {
    means: "a file is not the PEM text it should be",
    seenAs: [
      "PEM routines: no start line",
      "PEM_read_bio",
      "tls: failed to find any PEM data in certificate input",
    ],
    mend: "turn DER into PEM: `openssl x509 -inform der -in {file} -out FILE.pem`; then look inside: `handfast inspect FILE`",
  },
  FILES_SWAPPED: {
    means: "certificate and key file are taken one for the other",
    seenAs: ["PEM routines: no start line", "tls: found a certificate rather than a key"],
    mend: "exchange `--cert` and `--key` (CERT_FILE and KEY_FILE)",
  },
  KEY_MISMATCH: {
    means: "the private key does not belong to the certificate",
    seenAs: [
      "key values mismatch",
      "tls: private key does not match public key",
      "X509_check_private_key",
    ],
    mend: "use the two files of one `handfast issue`; if one is lost, issue both anew: `handfast issue NAME --force`",
  },
  KEY_ENCRYPTED: {
    means: "the private key is encrypted",
    seenAs: ["bad decrypt", "interrupted or cancelled", "PEM_R_BAD_PASSWORD_READ"],
    mend: "services read clear keys, mode 0600: `openssl pkey -in {file} -out KEY.pem`",
  },
  KEY_EXPOSED: {
    means: "others may read the private key",
    seenAs: ["UNPROTECTED PRIVATE KEY FILE", "bad permissions"],
    mend: "`chmod 600 {file}`; if somebody may have read it, issue anew and revoke the old one",
  },
  CHAIN_DISORDERED: {
    means:
      "the certificate file does not begin with the leaf, or its certificates are out of order",
    seenAs: [
      "key values mismatch",
      "tls: private key does not match public key",
      "unable to verify the first certificate",
    ],
    mend: "put the leaf first, then the CA that signed it, and so on: `cat leaf.pem issuing.pem > chain.pem`",
  },
  CHAIN_INCOMPLETE: {
    means: "an intermediate CA is missing in the certificate file",
    seenAs: [
      "unable to get local issuer certificate",
      "unable to verify the first certificate",
      "certificate verify failed",
    ],
    mend: "append the CA that signed it: `cat leaf.pem issuing.pem > chain.pem`",
  },
  CERTIFICATE_EXPIRED: {
    means: "the certificate has expired",
    seenAs: ["certificate has expired", "CERT_HAS_EXPIRED"],
    mend: "`handfast renew NAME`, or once it is past that `handfast issue NAME --force`",
  },
  CERTIFICATE_EXPIRING: {
    means: "the certificate ends soon",
    seenAs: ["certificate will expire"],
    mend: "`handfast renew NAME`",
  },
  CERTIFICATE_NOT_YET_VALID: {
    means: "the certificate is not valid yet",
    seenAs: ["certificate is not yet valid", "certificate not valid"],
    mend: "check this machine's clock: `timedatectl status`",
  },
  CERTIFICATE_WRONG_PURPOSE: {
    means: "the certificate is not for what it is to be used for",
    seenAs: ["unsupported certificate purpose", "certificate specifies an incompatible key usage"],
    mend: "`handfast issue NAME --profile peer --force` makes one for servers and clients",
  },
  CERTIFICATE_UNUSABLE: {
    means: "the certificate breaks the rules that peers check",
    seenAs: ["certificate verify failed", "bad certificate", "ca md too weak"],
    mend: "see what is wrong: `handfast inspect {file}`; then issue it anew",
  },
  NAME_NOT_IN_CERTIFICATE: {
    means: "the certificate does not have the name that clients dial",
    seenAs: [
      "Hostname/IP does not match certificate's altnames",
      "x509: certificate is valid for a, not b",
    ],
    mend: "`handfast issue NAME --san {name} --force`",
  },
  CA_UNUSABLE: {
    means: "the CA bundle cannot be used: it must hold CA certificates and nothing else",
    seenAs: [
      "unable to load trusted certificates",
      "failed to append CA certs",
      "invalid CA certificate",
    ],
    mend: "give the roots alone: `handfast inspect {file}` shows what is in it",
  },
  CA_DIFFERS: {
    means: "the certificate is not of a CA in the bundle: the two sides must trust each other's CA",
    seenAs: [
      "certificate signed by unknown authority",
      "certificate verify failed",
      "unable to get local issuer certificate",
    ],
    mend: "use certificate and bundle of one authority, or put both sides' roots into both bundles",
  },
  CERTIFICATE_REVOKED: {
    means: "the certificate has been revoked",
    seenAs: ["certificate revoked", "CERT_REVOKED"],
    mend: "enrol anew, with a new key: `handfast issue NAME --force`",
  },
  CRL_STALE: {
    means: "a revocation list is past its time: peers that need one refuse everybody",
    seenAs: ["CRL has expired", "CRL_HAS_EXPIRED"],
    mend: "publish a new one, and bring it here: `handfast crl`",
  },
  CRL_MISSING: {
    means:
      'no revocation list covers a CA of the chain: under `undetermined: "refuse"` nobody gets in',
    seenAs: ["unable to get certificate CRL", "UNABLE_TO_GET_CRL"],
    mend: "copy the lists of every CA there: `handfast crl` and `handfast crl --root` write them to ca/crl",
  },
  CRL_UNUSABLE: {
    means: "a revocation list cannot be read",
    seenAs: ["unable to decode CRL", "invalid CRL"],
    mend: "fetch it anew: `handfast inspect {file}`",
  },
  ENVIRONMENT_UNSAFE: {
    means: "a setting of Node switches protection off for other code of the process",
    seenAs: ["Setting the NODE_TLS_REJECT_UNAUTHORIZED environment variable to '0'"],
    mend: "remove it, and mend what it was to hide: `handfast doctor HOST:PORT`",
  },
} as const;

/** A way in which mutual TLS fails. */
export type AilmentCode = keyof typeof ailments;
