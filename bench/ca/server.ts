// The authority of bench/ca.bench.ts as a process of its own: on SQLite in a folder that is given, its limits
// out of the way. Makes tokens and says what CPU time it has used when it is asked by message.
import { generateKeyPairSync, sign } from "node:crypto";
import {
  createAuthorityService,
  initAuthorityHome,
  openAuthorityHome,
  parseServiceName,
  serviceNames,
} from "@handfast/ca";
import { openAuditChain, openAuditKey } from "@handfast/policy";

/** What the bench asks, and is told. */
export type Question =
  | { readonly ask: "tokens"; readonly count: number }
  | { readonly ask: "cpu" }
  | { readonly ask: "signatures"; readonly ms: number }
  | { readonly ask: "certificates"; readonly limit: number };
export type Answer =
  | { readonly url: string; readonly ocspUrl: string; readonly rootsPem: string }
  | { readonly tokens: readonly string[] }
  | { readonly cpuMs: number }
  | { readonly perSecond: number; readonly perCpuSecond: number }
  | { readonly issuer: string; readonly serialNumbers: readonly string[] };

const [folder = "", audited = ""] = process.argv.slice(2);
const requester = "local:bench";
await initAuthorityHome(folder, { trustDomain: "bench.example", requester });
const audit =
  audited === "audit"
    ? await openAuditChain(`${folder}/audit`, { signer: await openAuditKey(`${folder}/audit.key`) })
    : undefined;
const authority = await openAuthorityHome(folder, audit === undefined ? {} : { audit });
const unlimited = { perSecond: 1_000_000, burst: 1_000_000 };
const service = await createAuthorityService({
  authority,
  names: ["localhost"],
  enrolment: { host: "127.0.0.1", port: 0 },
  authorityListener: { host: "127.0.0.1", port: 0 },
  publication: { host: "127.0.0.1", port: 0 },
  limits: {
    enrolmentsPerSource: unlimited,
    requestsPerSource: unlimited,
    publicRequestsPerSource: unlimited,
    ocspSignatures: unlimited,
  },
});
const { roots } = await authority.bundle();
const { certificatesToPem, parseCertificate } = await import("@handfast/x509");
tell({
  url: service.enrolmentUrl,
  ocspUrl: `http://127.0.0.1:${service.publicationPort}/ocsp`,
  rootsPem: certificatesToPem(roots),
});

let names = 0;
process.on("message", (question: Question) => void reply(question));
process.once("disconnect", () => process.exit(0));

async function reply(question: Question): Promise<void> {
  switch (question.ask) {
    case "tokens":
      return tell({ tokens: await tokens(question.count) });
    case "cpu": {
      const { user, system } = process.cpuUsage();
      return tell({ cpuMs: (user + system) / 1_000 });
    }
    case "signatures":
      return tell(rawSignatures(question.ms));
    case "certificates": {
      const found = await authority.find({ profile: "peer", limit: question.limit });
      const [{ fingerprint } = { fingerprint: undefined }] = await authority.find({
        profile: "issuing",
        limit: 1,
      });
      if (fingerprint === undefined) throw new Error("the authority has no issuing key");
      const [record] = await authority.find({ fingerprint });
      if (record === undefined) throw new Error("the issuing certificate is not recorded");
      return tell({
        issuer: certificatesToPem([parseCertificate(record.der)]),
        serialNumbers: found.map(({ serialNumber }) => serialNumber),
      });
    }
  }
}

function tokens(count: number): Promise<readonly string[]> {
  return Promise.all(
    Array.from({ length: count }, () => {
      const name = parseServiceName(`svc-${(names += 1)}`);
      return authority.createToken({
        audience: service.enrolmentUrl,
        subject: { commonName: name },
        names: serviceNames(name, { trustDomain: "bench.example" }),
        tokenSeconds: 3_600,
        requester,
      });
    }),
  );
}

/** What this machine signs in this process at this moment, and nothing else. */
function rawSignatures(ms: number): { perSecond: number; perCpuSecond: number } {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const text = Buffer.alloc(400);
  const start = performance.now();
  const cpu = process.cpuUsage();
  let count = 0;
  while (performance.now() - start < ms) {
    sign("sha256", text, privateKey);
    count += 1;
  }
  const { user, system } = process.cpuUsage(cpu);
  return {
    perSecond: (count / (performance.now() - start)) * 1_000,
    perCpuSecond: (count / (user + system)) * 1_000_000,
  };
}

function tell(answer: Answer): void {
  process.send?.(answer);
}
