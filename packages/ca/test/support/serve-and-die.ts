// Serves the authority of a home, and kills itself by SIGKILL at the step that it is told: a test's child.
import {
  createAuthority,
  createAuthorityService,
  authorityHome,
  keysFromDirectory,
  openSqliteStore,
  parseServiceName,
  serviceNames,
} from "../../src/index.ts";
import type { AuditTrail, Records, Store } from "../../src/index.ts";

/** Where an act can be cut short: each is after the one before it. */
export type Step =
  | "never"
  /** Decided and signed, nothing begun. */
  | "before-transaction"
  /** Written, not committed. */
  | "before-commit"
  /** Committed, and neither told to the audit nor to the caller. */
  | "after-commit"
  /** All but the reply is done. */
  | "after-audit";

/** What the child tells: once at the start, and an answer to each name. */
export interface Serving {
  readonly enrolmentUrl: string;
  readonly authorityTarget: string;
}

const [home = "", port = "0"] = process.argv.slice(2);
let step: Step = "never";
const store = openSqliteStore({ path: authorityHome(home).store, missing: "fail" });
const authority = await createAuthority({
  store: deadly(store),
  keys: keysFromDirectory(authorityHome(home).directory),
  audit: deadlyAudit(),
});
const service = await createAuthorityService({
  authority,
  names: ["localhost"],
  enrolment: { host: "127.0.0.1", port: Number(port) },
  authorityListener: { host: "127.0.0.1", port: 0 },
});
process.on("message", (order: { readonly token: string } | { readonly dieAt: Step }) => {
  if ("dieAt" in order) {
    step = order.dieAt;
    process.send?.({ armed: step });
    return;
  }
  const name = parseServiceName(order.token);
  const { enrolmentUrl: audience } = service;
  void authority
    .createToken({
      audience,
      subject: { commonName: name },
      names: serviceNames(name, { trustDomain: authority.trustDomain }),
      requester: "local:test",
    })
    .then((token) => process.send?.({ token }));
});
process.once("disconnect", () => process.exit(0));
const { enrolmentUrl, authorityTarget } = service;
process.send?.({ enrolmentUrl, authorityTarget } satisfies Serving);

/** Only what records a certificate or a revocation is deadly: the service itself does more. */
function deadly(inner: Store): Store {
  return {
    ...inner,
    async transaction(work) {
      dieAt("before-transaction");
      let acted = false;
      const result = await inner.transaction(async (records) => {
        const watched: Records = {
          ...records,
          async addCertificate(certificate) {
            await records.addCertificate(certificate);
            acted = true;
          },
          async addRevocation(fingerprint, revocation) {
            await records.addRevocation(fingerprint, revocation);
            acted = true;
          },
        };
        const done = await work(watched);
        if (acted) dieAt("before-commit");
        return done;
      });
      if (acted) dieAt("after-commit");
      return result;
    },
  };
}

function deadlyAudit(): AuditTrail {
  return {
    append(_kind, { action }) {
      if (action === "enrol" || action === "revoke") dieAt("after-audit");
      return Promise.resolve({ chain: "", seq: 0 });
    },
  };
}

function dieAt(here: Step): void {
  if (here === step) process.kill(process.pid, "SIGKILL");
}
