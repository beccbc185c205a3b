// @peculiar/x509, the usual JavaScript library, given the same work.
import { webcrypto } from "node:crypto";

/** What the library is asked to make: a leaf like ours. */
export interface PeculiarWork {
  /** Issues one P-256 leaf for a ready public key. */
  readonly issue: () => Promise<unknown>;
  /** Makes a key pair and a leaf, both as PEM. */
  readonly issueWithKey: () => Promise<string>;
}

/** Prepares the library with a CA of its own. */
export async function createPeculiarWork(): Promise<PeculiarWork> {
  provideReflect();
  const x509 = await import("@peculiar/x509");
  x509.cryptoProvider.set(webcrypto as never);
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const { subtle } = webcrypto;
  const generate = (): Promise<webcrypto.CryptoKeyPair> =>
    subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const caKeys = await generate();
  const validity = { notBefore: new Date(), notAfter: new Date(Date.now() + 86_400_000) };
  const ca = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: "01",
    name: "CN=CA",
    ...validity,
    signingAlgorithm: algorithm,
    keys: caKeys as never,
    extensions: [new x509.BasicConstraintsExtension(true, 0, true)],
  });
  const subject = await generate();
  const issueFor = async (
    publicKey: webcrypto.CryptoKey,
  ): Promise<{ toString(format: "pem"): string }> =>
    x509.X509CertificateGenerator.create({
      serialNumber: Buffer.from(webcrypto.getRandomValues(new Uint8Array(16))).toString("hex"),
      subject: "CN=api",
      issuer: ca.subject,
      ...validity,
      signingAlgorithm: algorithm,
      publicKey: publicKey as never,
      signingKey: caKeys.privateKey,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension(["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"]),
        await x509.SubjectKeyIdentifierExtension.create(publicKey),
        await x509.AuthorityKeyIdentifierExtension.create(caKeys.publicKey as never),
        new x509.SubjectAlternativeNameExtension([
          { type: "dns", value: "api.example" },
          { type: "url", value: "spiffe://example.org/api" },
        ]),
      ],
    });
  return {
    issue: () => issueFor(subject.publicKey),
    issueWithKey: async () => {
      const keys = await generate();
      const certificate = await issueFor(keys.publicKey);
      const der = await subtle.exportKey("pkcs8", keys.privateKey);
      return certificate.toString("pem") + x509.PemConverter.encode(der, "PRIVATE KEY");
    },
  };
}

/** The four functions of the Reflect polyfill the library demands. */
function provideReflect(): void {
  const metadata = new WeakMap<object, Map<unknown, unknown>>();
  const own = (key: unknown, target: object): unknown => metadata.get(target)?.get(key);
  const define = (key: unknown, value: unknown, target: object): void => {
    const known = metadata.get(target) ?? new Map<unknown, unknown>();
    metadata.set(target, known.set(key, value));
  };
  const get = (key: unknown, target: object): unknown => {
    for (let at: object | null = target; at; at = Object.getPrototypeOf(at) as object | null) {
      const value = own(key, at);
      if (value !== undefined) return value;
    }
    return undefined;
  };
  Object.assign(Reflect, {
    defineMetadata: define,
    getMetadata: get,
    getOwnMetadata: own,
    metadata: (key: unknown, value: unknown) => (target: object) => define(key, value, target),
  });
}
