// The bank's server, which dies by SIGKILL at a fail point. Argument: the fail point as JSON, or nothing.
// Settings come from the environment; the port is written as a line of JSON.
import { writeSync } from "node:fs";
import { startBank } from "../../src/server/start-bank.ts";
import { readSettings } from "../../src/settings.ts";
import type { FailPoint } from "../../src/store/sqlite-worker.ts";

const silent = (): void => undefined;
const [failPoint] = process.argv.slice(2);
const { port } = await startBank({
  settings: readSettings(process.env, []).settings,
  log: { debug: silent, info: silent, warn: silent, error: silent },
  ...(failPoint === undefined ? {} : { failPoint: JSON.parse(failPoint) as FailPoint }),
});
writeSync(1, `${JSON.stringify({ port })}\n`);
