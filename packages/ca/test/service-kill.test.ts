// One step of service-kill.slow.ts, which has them all.
import { test } from "node:test";
import { killAtEnrolment } from "./support/kill-service.ts";

test("S52: kill -9 after the commit of an enrolment: the same token and key get the recorded certificate", (t) =>
  killAtEnrolment(t, "after-commit"));
