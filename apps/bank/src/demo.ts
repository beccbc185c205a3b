// `npm run demo`: the whole story, for real. Exits 0 only if all of it was true.
import { verifyAudit } from "./demo/audit.ts";
import { createAuthority, issueCertificates } from "./demo/certificates.ts";
import { surviveKill } from "./demo/crash.ts";
import { runAlicesSession, startBank } from "./demo/everyday.ts";
import { createNarrator } from "./demo/narrator.ts";
import { repeatWithMlDsa } from "./demo/quantum.ts";
import { denyKiosksDeposit, refuseMissingCertificate, refuseStranger } from "./demo/refusals.ts";
import { cutRevokedClient } from "./demo/revocation.ts";
import { rotateUnderLoad } from "./demo/rotation.ts";
import { createWorld } from "./demo/world.ts";
import { runAsProgram } from "./program.ts";

const steps = [
  createAuthority,
  issueCertificates,
  startBank,
  runAlicesSession,
  refuseStranger,
  refuseMissingCertificate,
  denyKiosksDeposit,
  rotateUnderLoad,
  cutRevokedClient,
  repeatWithMlDsa,
  surviveKill,
  verifyAudit,
];

await runAsProgram(async () => {
  const start = performance.now();
  const narrator = createNarrator();
  const world = createWorld(narrator);
  // Whoever has seen enough leaves nothing behind either: no process, no key.
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => void world.close().finally(() => process.exit(1)));
  }
  try {
    for (const step of steps) await step(world);
  } finally {
    await world.close();
  }
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  narrator.end(`All of it was true (${seconds} s). Nothing is left behind.`);
});
