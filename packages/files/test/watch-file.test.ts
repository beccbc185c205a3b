import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  appendFileSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import fs from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { watchFile } from "../src/index.ts";
import type { FileWatch, FilesError, WatchFileOptions } from "../src/index.ts";
import { temporaryDirectory, textOf, within } from "./support/temporary.ts";

/** Only events can be behind what is seen. */
const eventsOnly = { pollMs: 1_000_000, debounceMs: 5 };
/** Only `check()` can be behind what is seen: in these tests no event falls due. */
const onDemand = { pollMs: 1_000_000, debounceMs: 1_000_000 };

test("reports other bytes only, whatever happens to the file", async (context) => {
  const path = join(temporaryDirectory(context), "a");
  writeFileSync(path, "1");
  const { watch, seen } = observe(context, path, { ...onDemand, initial: Buffer.from("1") });
  assert.equal(await watch.check(), "unchanged");
  utimesSync(path, 1, 1);
  writeFileSync(path, "1");
  assert.equal(await watch.check(), "unchanged");
  writeFileSync(path, "2");
  assert.equal(await watch.check(), "changed");
  renameOver(path, "3");
  assert.equal(await watch.check(), "changed");
  renameOver(path, "3");
  assert.equal(await watch.check(), "unchanged");
  assert.deepEqual(seen, ["2", "3"]);
});

test("without initial bytes the first reading is a change, so nothing is lost", async (context) => {
  const path = join(temporaryDirectory(context), "a");
  writeFileSync(path, "1");
  const { watch, seen } = observe(context, path, onDemand);
  await watch.check();
  assert.deepEqual(seen, ["1"]);
});

for (const [how, change] of Object.entries({
  "a write in place": (path: string) => writeFileSync(path, "2"),
  "a rename over it": (path: string) => renameOver(path, "2"),
  "removal and return": (path: string) => {
    rmSync(path);
    writeFileSync(path, "2");
  },
})) {
  test(`an event tells of ${how}`, async (context) => {
    const path = join(temporaryDirectory(context), "a");
    writeFileSync(path, "1");
    const { watch, next } = observe(context, path, { ...eventsOnly, initial: Buffer.from("1") });
    await watch.check();
    const told = next();
    change(path);
    assert.equal(await within(told, how), "2");
  });
}

test("an event tells of a swapped ..data link, as Kubernetes does it", async (context) => {
  const folder = temporaryDirectory(context);
  for (const version of ["1", "2"]) {
    mkdirSync(join(folder, `..${version}`));
    writeFileSync(join(folder, `..${version}`, "tls.crt"), version);
  }
  symlinkSync("..1", join(folder, "..data"));
  symlinkSync("..data/tls.crt", join(folder, "tls.crt"));
  const path = join(folder, "tls.crt");
  const { watch, next } = observe(context, path, { ...eventsOnly, initial: Buffer.from("1") });
  await watch.check();
  const told = next();
  symlinkSync("..2", join(folder, "..data_tmp"));
  renameSync(join(folder, "..data_tmp"), join(folder, "..data"));
  assert.equal(await within(told, "the swap"), "2");
});

test("polling sees what sends no event: a change behind a link to elsewhere", async (context) => {
  const elsewhere = join(temporaryDirectory(context), "real");
  const path = join(temporaryDirectory(context), "link");
  writeFileSync(elsewhere, "1");
  symlinkSync(elsewhere, path);
  const { watch, next } = observe(context, path, { pollMs: 10, initial: Buffer.from("1") });
  await watch.check();
  const told = next();
  writeFileSync(elsewhere, "2");
  assert.equal(await within(told, "the poll"), "2");
});

test("a large file that seems untouched is not read at each poll, but is when asked", async (context) => {
  const path = join(temporaryDirectory(context), "a");
  const large = Buffer.alloc(1024 * 1024 + 1, "a");
  writeFileSync(path, large);
  // Looks that begin well after the last change can rely on the time stamps.
  context.mock.timers.enable({ apis: ["Date"], now: Date.now() + 60_000 });
  const opened = context.mock.method(fs, "open");
  const looked = context.mock.method(fs, "stat");
  syncBuiltinESMExports();
  context.after(() => syncBuiltinESMExports());
  const { watch, seen } = observe(context, path, { pollMs: 2, debounceMs: 2, initial: large });
  await watch.check();
  const reads = opened.mock.callCount();
  const looks = looked.mock.callCount();
  const polled = (async () => {
    while (looked.mock.callCount() < looks + 10)
      await new Promise((resolve) => setTimeout(resolve, 1));
  })();
  await within(polled, "a few polls");
  assert.equal(opened.mock.callCount(), reads);
  assert.equal(await watch.check(), "unchanged");
  assert.equal(opened.mock.callCount(), reads + 1);
  appendFileSync(path, "b");
  await watch.check();
  assert.deepEqual(
    seen.map(({ length }) => length),
    [large.length + 1],
  );
});

test("a missing file is an error once, and its return is a change", async (context) => {
  const path = join(temporaryDirectory(context), "a");
  writeFileSync(path, "1");
  const { watch, seen, errors } = observe(context, path, {
    ...onDemand,
    initial: Buffer.from("1"),
  });
  rmSync(path);
  assert.equal(await watch.check(), "failed");
  assert.equal(await watch.check(), "failed");
  mkdirSync(path);
  assert.equal(await watch.check(), "failed");
  rmSync(path, { recursive: true });
  writeFileSync(path, "1");
  assert.equal(await watch.check(), "unchanged");
  rmSync(path);
  assert.equal(await watch.check(), "failed");
  writeFileSync(path, "2");
  assert.equal(await watch.check(), "changed");
  assert.deepEqual(seen, ["2"]);
  assert.deepEqual(
    errors.map(({ code }) => code),
    ["FILE_NOT_FOUND", "FILE_NOT_REGULAR", "FILE_NOT_FOUND"],
  );
});

test("a file that returns as it was is no change, but the consumer may know of it", async (context) => {
  const path = join(temporaryDirectory(context), "a");
  writeFileSync(path, "1");
  let recovered = 0;
  const { watch, seen } = observe(context, path, {
    ...onDemand,
    initial: Buffer.from("1"),
    onRecover: () => recovered++,
  });
  await watch.check();
  rmSync(path);
  await watch.check();
  writeFileSync(path, "1");
  assert.equal(await watch.check(), "unchanged");
  assert.equal(await watch.check(), "unchanged");
  assert.deepEqual([seen, recovered], [[], 1]);
});

test("a file over the limit is an error, and the consumer keeps what it had", async (context) => {
  const path = join(temporaryDirectory(context), "a");
  writeFileSync(path, "1");
  const { watch, seen, errors } = observe(context, path, { ...onDemand, maxBytes: 3 });
  await watch.check();
  writeFileSync(path, "1234");
  assert.equal(await watch.check(), "failed");
  assert.deepEqual(seen, ["1"]);
  assert.equal(errors[0]?.code, "FILE_TOO_LARGE");
});

test("the directory itself may be missing, come and be replaced", async (context) => {
  const folder = join(temporaryDirectory(context), "later");
  const path = join(folder, "a");
  const { watch, next, seen } = observe(context, path, eventsOnly);
  assert.equal(await watch.check(), "failed");
  mkdirSync(folder);
  writeFileSync(path, "1");
  assert.equal(await watch.check(), "changed");
  renameSync(folder, `${folder}.old`);
  mkdirSync(folder);
  writeFileSync(path, "2");
  assert.equal(await watch.check(), "changed");
  // The first of these may be told by the event of the move itself, the second by no other.
  for (const text of ["3", "4"]) {
    const told = next();
    writeFileSync(path, text);
    assert.equal(await within(told, "the event in the new directory"), text);
  }
  assert.deepEqual(seen, ["1", "2", "3", "4"]);
});

test("steady events do not put the look off for ever", async (context) => {
  const folder = temporaryDirectory(context);
  const path = join(folder, "a");
  writeFileSync(path, "1");
  const { watch, next } = observe(context, path, {
    pollMs: 1_000_000,
    debounceMs: 20,
    initial: Buffer.from("1"),
  });
  await watch.check();
  const told = next();
  writeFileSync(path, "2");
  const noise = setInterval(() => writeFileSync(join(folder, "noise"), "x"), 2);
  context.after(() => clearInterval(noise));
  assert.equal(await within(told, "the look"), "2");
});

test("a consumer that throws is told so, and nothing reaches the event loop", async (context) => {
  const path = join(temporaryDirectory(context), "a");
  writeFileSync(path, "1");
  const errors: FilesError[] = [];
  const watch = watchFile(path, {
    ...onDemand,
    maxBytes: 9,
    onChange() {
      throw new Error("parser");
    },
    onError(error) {
      errors.push(error);
      throw new Error("logger");
    },
  });
  context.after(() => watch.close());
  assert.equal(await watch.check(), "unchanged");
  assert.deepEqual(
    errors.map(({ code }) => code),
    ["WATCH_CONSUMER_FAILED"],
  );
  assert.deepEqual(
    errors.map(({ cause }) => String(cause)),
    ["Error: parser"],
  );
});

test("a closed watch reports nothing, also of a look under way", async (context) => {
  const path = join(temporaryDirectory(context), "a");
  writeFileSync(path, "1");
  const { watch, seen, errors } = observe(context, path, onDemand);
  const underWay = watch.check();
  watch.close();
  assert.equal(await underWay, "unchanged");
  rmSync(path);
  assert.equal(await watch.check(), "unchanged");
  watch.close();
  assert.deepEqual({ seen, errors }, { seen: [], errors: [] });
});

test("a watch does not keep the process alive", (context) => {
  const path = join(temporaryDirectory(context), "a");
  writeFileSync(path, "1");
  const source = new URL("../src/index.ts", import.meta.url).href;
  const program = `import { watchFile } from ${JSON.stringify(source)};
    watchFile(${JSON.stringify(path)}, {
      maxBytes: 9, pollMs: 10, onChange: (bytes) => console.log(bytes.length), onError() {},
    });`;
  const child = spawnSync(process.execPath, ["--input-type=module", "--eval", program], {
    timeout: 20_000,
  });
  assert.deepEqual([child.status, child.stdout.toString()], [0, "1\n"]);
});

test("wrong use is a TypeError", () => {
  const consumer = { onChange() {}, onError() {} };
  assert.throws(() => watchFile("a", { maxBytes: -1, ...consumer }), TypeError);
  for (const interval of [0, 1.5, 2 ** 31, Number.NaN]) {
    assert.throws(() => watchFile("a", { maxBytes: 1, pollMs: interval, ...consumer }), TypeError);
    assert.throws(
      () => watchFile("a", { maxBytes: 1, debounceMs: interval, ...consumer }),
      TypeError,
    );
  }
});

function observe(
  context: TestContext,
  path: string,
  options: Partial<WatchFileOptions>,
): { watch: FileWatch; seen: string[]; errors: FilesError[]; next: () => Promise<string> } {
  const seen: string[] = [];
  const errors: FilesError[] = [];
  let waiting: ((text: string) => void) | undefined;
  const watch = watchFile(path, {
    maxBytes: 4 * 1024 * 1024,
    onChange(bytes) {
      seen.push(textOf(bytes));
      waiting?.(textOf(bytes));
    },
    onError: (error) => errors.push(error),
    ...options,
  });
  context.after(() => watch.close());
  return {
    watch,
    seen,
    errors,
    next: () => new Promise((resolve) => (waiting = resolve)),
  };
}

function renameOver(path: string, text: string): void {
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}
