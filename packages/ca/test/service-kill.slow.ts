// kill -9 at each step of what the service does; the default suite has one of them.
import { test } from "node:test";
import { killAtEnrolment, killAtRevocation } from "./support/kill-service.ts";

for (const step of [
  "before-transaction",
  "before-commit",
  "after-commit",
  "after-audit",
] as const) {
  test(`kill -9 ${step} of an enrolment: one certificate, to whoever holds the key`, (t) =>
    killAtEnrolment(t, step));
  test(`kill -9 ${step} of a revocation: what is recorded is on the next list`, (t) =>
    killAtRevocation(t, step));
}
