import { createServer } from "node:tls";

import { anyTrustedPeer, createMutualTls, noRevocation, trustFromMemory } from "@handfast/tls";
import type { IdentityMaterial } from "@handfast/tls";
import { createTestAuthority } from "@handfast/x509/testing";

import { measure } from "../x509/measure.ts";
import { print } from "./figures.ts";

/** How long a new certificate takes to come into use in a listening server: read, checked, swapped. */
export async function measureContextChange(rounds: number): Promise<void> {
  const authority = createTestAuthority();
  const material = Array.from({ length: 20 }, () => {
    const { certificateChainPem, privateKeyPem } = authority.issue({ name: "localhost" });
    return { certificateChain: certificateChainPem, privateKey: privateKeyPem };
  });
  let turn = 0;
  const next = (): IdentityMaterial => material[++turn % material.length]!;
  const mtls = await createMutualTls({
    identity: { description: "the next certificate", read: () => Promise.resolve(next()) },
    trust: trustFromMemory(authority.bundlePem),
    revocation: noRevocation(),
    admit: anyTrustedPeer(),
  });
  await mtls.listen(
    { host: "127.0.0.1", port: 0 },
    {
      h2: {
        accept: () => ({ drain() {}, activity: () => ({ callsInFlight: 0 }) }),
        refuse: (socket) => void socket.destroy(),
      },
      clientCertificates: "required",
    },
  );
  const bare = createServer({ ca: [authority.bundlePem], requestCert: true });
  const contenders = [
    {
      name: "bare",
      batch: 20,
      run: () => {
        const { certificateChain: cert, privateKey: key } = next();
        bare.setSecureContext({
          cert: cert as string,
          key: key as string,
          ca: [authority.bundlePem],
          minVersion: "TLSv1.3",
        });
      },
    },
    { name: "handfast", batch: 20, run: () => mtls.reload() },
  ];
  const medians = await measure(contenders, rounds);
  await mtls.close();
  console.log("\na new certificate in a listening server: CPU");
  const own = medians.micros("handfast");
  const theirs = medians.micros("bare");
  print("bare setSecureContext, unchecked", `${theirs.toFixed(0)} us`, "1.00 x bare");
  print(
    "Handfast reload, checked, both sides",
    `${own.toFixed(0)} us`,
    `${(own / theirs).toFixed(2)} x bare`,
  );
}
