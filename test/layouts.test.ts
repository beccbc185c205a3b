// Certificates as other tools leave and renew them in files, while gRPC calls run on them. How each tool writes is
// taken from its source: the kubelet's atomic writer, consul-template's renderer, `step ca renew`, certbot's
// storage, spiffe-helper's disk package.
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readlink, rename, rm, symlink, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { allowEveryAdmittedPeer, createClient, createServer } from "@handfast/grpc";
import { TestService, interopHandlers } from "@handfast/grpc/testing";
import {
  anyTrustedPeer,
  createMutualTls,
  identityFromFiles,
  noRevocation,
  trustFromFile,
} from "@handfast/tls";
import type { MutualTls } from "@handfast/tls";
import { certificatesToPem, createIssuer, issueCertificate } from "@handfast/x509";
import { createTestAuthority } from "@handfast/x509/testing";
import type { TestIdentity } from "@handfast/x509/testing";

const authority = createTestAuthority();
const renewals = 3;

/** Where a tool keeps the three, and how it writes them the first and every further time. */
interface Layout {
  readonly certFile: string;
  readonly keyFile: string;
  readonly caFile: string;
  /** Whether renewal keeps the key. */
  readonly keepsKey?: true;
  write(folder: string, identity: TestIdentity, version: number): Promise<void>;
}

const layouts: Readonly<Record<string, Layout>> = {
  "a cert-manager Secret, mounted by the kubelet": {
    certFile: "tls.crt",
    keyFile: "tls.key",
    caFile: "ca.crt",
    async write(folder, identity, version) {
      const payload = `..2026_11_22_00_00_0${version}`;
      await mkdir(join(folder, payload));
      const files = {
        "tls.crt": identity.certificateChainPem,
        "tls.key": identity.privateKeyPem,
        "ca.crt": authority.bundlePem,
      };
      for (const [name, text] of Object.entries(files))
        await put(join(folder, payload, name), text);
      const old = version === 0 ? undefined : await readlink(join(folder, "..data"));
      await symlink(payload, join(folder, "..data_tmp"));
      await rename(join(folder, "..data_tmp"), join(folder, "..data"));
      if (old !== undefined) return rm(join(folder, old), { recursive: true });
      for (const name of Object.keys(files)) await symlink(`..data/${name}`, join(folder, name));
    },
  },
  "Vault Agent or consul-template, a template for each file": {
    certFile: "service.crt",
    keyFile: "service.key",
    caFile: "ca.crt",
    async write(folder, identity) {
      await replace(join(folder, "ca.crt"), authority.bundlePem);
      await replace(join(folder, "service.key"), identity.privateKeyPem);
      await replace(join(folder, "service.crt"), identity.certificateChainPem);
    },
  },
  "consul-template, certificate and key by one template": {
    certFile: "service.pem",
    keyFile: "service.pem",
    caFile: "ca.crt",
    async write(folder, identity) {
      await replace(join(folder, "ca.crt"), authority.bundlePem);
      await replace(
        join(folder, "service.pem"),
        identity.privateKeyPem + identity.certificateChainPem,
      );
    },
  },
  "step ca renew --daemon, which keeps the key": {
    certFile: "service.crt",
    keyFile: "service.key",
    caFile: "root_ca.crt",
    keepsKey: true,
    async write(folder, identity, version) {
      if (version === 0) {
        await put(join(folder, "root_ca.crt"), authority.bundlePem);
        await put(join(folder, "service.key"), identity.privateKeyPem);
      }
      await put(join(folder, "service.crt"), identity.certificateChainPem);
    },
  },
  "certbot, links that are taken away and made again": {
    certFile: "live/fullchain.pem",
    keyFile: "live/privkey.pem",
    caFile: "ca.pem",
    async write(folder, identity, version) {
      for (const name of ["archive", "live"]) await mkdir(join(folder, name), { recursive: true });
      await put(join(folder, "ca.pem"), authority.bundlePem);
      const files = { privkey: identity.privateKeyPem, fullchain: identity.certificateChainPem };
      for (const [name, text] of Object.entries(files))
        await put(join(folder, "archive", `${name}${version}.pem`), text);
      for (const name of Object.keys(files)) {
        const link = join(folder, "live", `${name}.pem`);
        if (version > 0) await unlink(link);
        await symlink(`../archive/${name}${version}.pem`, link);
      }
    },
  },
  "spiffe-helper, which writes over each file": {
    certFile: "svid.pem",
    keyFile: "svid_key.pem",
    caFile: "svid_bundle.pem",
    async write(folder, identity) {
      await put(join(folder, "svid.pem"), identity.certificateChainPem);
      await put(join(folder, "svid_key.pem"), identity.privateKeyPem);
      await put(join(folder, "svid_bundle.pem"), authority.bundlePem);
    },
  },
};

for (const [tool, layout] of Object.entries(layouts)) {
  test(`no call fails while certificates are renewed as by ${tool}`, async () => {
    const folders = [await folderOf(), await folderOf()] as const;
    try {
      await using bank = await service(layout, folders[0], "localhost");
      await using caller = await service(layout, folders[1], "caller");
      const server = createServer({ tls: bank.mtls, policy: allowEveryAdmittedPeer() });
      server.add(TestService, interopHandlers);
      const address = await server.listen({ host: "localhost", port: 0 });
      assert.ok("port" in address);
      const target = `localhost:${address.port}`;
      const client = createClient(TestService, { tls: caller.mtls, target, retry: "never" });
      const load = startCalls(() => client.emptyCall({}));
      for (let version = 1; version <= renewals; version += 1) {
        await Promise.all([bank.renew(version), caller.renew(version)]);
        await load.turn();
      }
      assert.ok((await load.stop()) > renewals);
      client.close();
      await server.shutdown({ graceMs: 1000 });
    } finally {
      for (const folder of folders) await rm(folder, { recursive: true });
    }
  });
}

/** A runtime on files as the layout has them, and the tool that renews them. */
async function service(layout: Layout, folder: string, name: string) {
  const first = authority.issue({ name });
  await layout.write(folder, first, 0);
  const news = new EventTarget();
  const mtls: MutualTls = await createMutualTls({
    identity: identityFromFiles({
      certFile: join(folder, layout.certFile),
      keyFile: join(folder, layout.keyFile),
    }),
    trust: trustFromFile(join(folder, layout.caFile)),
    revocation: noRevocation(),
    admit: anyTrustedPeer(),
    onEvent: () => news.dispatchEvent(new Event("news")),
  });
  return {
    mtls,
    [Symbol.asyncDispose]: () => mtls.close(),
    /** Resolves when the renewed certificate is in use. Nothing but the files tells of it. */
    async renew(version: number): Promise<void> {
      const renewed = layout.keepsKey === true ? sameKey(first) : authority.issue({ name });
      const inUse = new Promise<void>((resolve) => {
        news.addEventListener("news", () => {
          if (mtls.identity?.chain[0]?.fingerprint === renewed.certificate.fingerprint) resolve();
        });
      });
      await layout.write(folder, renewed, version);
      await inUse;
    },
  };
}

/** Another certificate for the same key and names. */
function sameKey({ certificate, privateKey, privateKeyPem }: TestIdentity): TestIdentity {
  const renewed = issueCertificate({
    profile: "peer",
    subject: certificate.subject,
    subjectAltNames: certificate.subjectAltNames,
    publicKey: certificate.publicKey,
    issuer: createIssuer(authority.certificate, authority.privateKey),
    notBefore: certificate.notBefore,
    notAfter: certificate.notAfter,
  });
  return {
    certificate: renewed,
    privateKey,
    privateKeyPem,
    certificateChainPem: certificatesToPem([renewed]),
  };
}

/** Calls without a pause; the first that fails rejects what is waited for. */
function startCalls(call: () => Promise<unknown>) {
  let running = true;
  let done = 0;
  let turned = Promise.withResolvers<void>();
  const all = (async () => {
    while (running) {
      await call();
      done += 1;
      turned.resolve();
    }
  })();
  return {
    /** Resolves when a call that began after this has ended well. */
    async turn(): Promise<void> {
      for (const until = done + 2; done < until;) {
        turned = Promise.withResolvers();
        await Promise.race([turned.promise, all]);
      }
    },
    async stop(): Promise<number> {
      running = false;
      await all;
      return done;
    },
  };
}

function folderOf(): Promise<string> {
  return mkdtemp(join(tmpdir(), "handfast-layout-"));
}

function put(path: string, text: string): Promise<void> {
  return writeFile(path, text, { mode: 0o600 });
}

async function replace(path: string, text: string): Promise<void> {
  await put(`${path}.tmp`, text);
  await rename(`${path}.tmp`, path);
}
