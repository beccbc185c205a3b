import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chownSync,
  chmodSync,
  existsSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { createDirectory, walkToDirectory, writeFileAtomic } from "../src/index.ts";
import { asRoot, onPosix, temporaryDirectory } from "./support/temporary.ts";

const modeOf = (path: string): number => statSync(path).mode & 0o777;

test("writes a file of mode 0600, and nothing beside it", onPosix, async (context) => {
  const folder = temporaryDirectory(context);
  await writeFileAtomic(join(folder, "key.pem"), "secret");
  await writeFileAtomic(join(folder, "bytes"), new Uint8Array([1, 2]));
  assert.equal(readFileSync(join(folder, "key.pem"), "utf8"), "secret");
  assert.equal(modeOf(join(folder, "key.pem")), 0o600);
  assert.deepEqual(readdirSync(folder), ["bytes", "key.pem"]);
});

test("S56: the mode is the one asked for under any umask", onPosix, async (context) => {
  const folder = temporaryDirectory(context);
  const before = process.umask(0);
  try {
    await writeFileAtomic(join(folder, "key"), "x");
    await writeFileAtomic(join(folder, "cert"), "x", { mode: 0o644 });
    await createDirectory(join(folder, "d", "e"));
    process.umask(0o777);
    await writeFileAtomic(join(folder, "other"), "x", { mode: 0o644 });
    await createDirectory(join(folder, "f"), { mode: 0o755 });
  } finally {
    process.umask(before);
  }
  assert.equal(modeOf(join(folder, "key")), 0o600);
  assert.equal(modeOf(join(folder, "cert")), 0o644);
  assert.equal(modeOf(join(folder, "other")), 0o644);
  assert.equal(modeOf(join(folder, "d")), 0o700);
  assert.equal(modeOf(join(folder, "d", "e")), 0o700);
  assert.equal(modeOf(join(folder, "f")), 0o755);
});

test("never replaces what is there without being told to", async (context) => {
  const folder = temporaryDirectory(context);
  await writeFileAtomic(join(folder, "a"), "first");
  await assert.rejects(writeFileAtomic(join(folder, "a"), "second"), { code: "FILE_EXISTS" });
  assert.equal(readFileSync(join(folder, "a"), "utf8"), "first");
  await writeFileAtomic(join(folder, "a"), "third", { overwrite: true });
  assert.equal(readFileSync(join(folder, "a"), "utf8"), "third");
  assert.deepEqual(readdirSync(folder), ["a"]);
});

test("of many writers that may not overwrite, exactly one wins", async (context) => {
  const folder = temporaryDirectory(context);
  const writers = Array.from({ length: 8 }, (_, index) =>
    writeFileAtomic(join(folder, "a"), `writer ${index}`),
  );
  const settled = await Promise.allSettled(writers);
  const winners = settled.flatMap(({ status }, index) => (status === "fulfilled" ? [index] : []));
  assert.equal(winners.length, 1);
  assert.equal(readFileSync(join(folder, "a"), "utf8"), `writer ${winners[0]}`);
  assert.deepEqual(readdirSync(folder), ["a"]);
});

test("S56: a link planted at the target is never written through", onPosix, async (context) => {
  const folder = temporaryDirectory(context);
  writeFileSync(join(folder, "victim"), "untouched");
  symlinkSync("victim", join(folder, "link"));
  symlinkSync("nowhere", join(folder, "dangling"));
  await assert.rejects(writeFileAtomic(join(folder, "link"), "x"), { code: "FILE_EXISTS" });
  await assert.rejects(writeFileAtomic(join(folder, "dangling"), "x"), { code: "FILE_EXISTS" });
  await writeFileAtomic(join(folder, "link"), "replaced", { overwrite: true });
  assert.equal(readFileSync(join(folder, "victim"), "utf8"), "untouched");
  assert.equal(readFileSync(join(folder, "link"), "utf8"), "replaced");
  assert.ok(lstatSync(join(folder, "link")).isFile());
  assert.ok(!existsSync(join(folder, "nowhere")));
});

test("S56: another user's link in place of the parent is not followed", asRoot, async (context) => {
  const folder = temporaryDirectory(context);
  mkdirSync(join(folder, "elsewhere"));
  symlinkSync("elsewhere", join(folder, "parent"));
  lchownSync(join(folder, "parent"), 65534, 65534);
  const shared = { dangerouslyAllowSharedDirectory: true };
  for (const options of [{}, shared]) {
    await assert.rejects(writeFileAtomic(join(folder, "parent", "key"), "x", options), {
      code: "DIRECTORY_UNTRUSTED",
      message: `${join(folder, "parent")}: is a symbolic link of user 65534`,
    });
  }
  await assert.rejects(createDirectory(join(folder, "parent", "d")), {
    code: "DIRECTORY_UNTRUSTED",
  });
  assert.deepEqual(readdirSync(join(folder, "elsewhere")), []);
});

test(
  "one's own link to a directory is followed, however it is written",
  onPosix,
  async (context) => {
    const folder = temporaryDirectory(context);
    mkdirSync(join(folder, "real", "deep"), { recursive: true });
    symlinkSync("real/deep", join(folder, "relative"));
    symlinkSync(join(folder, "real"), join(folder, "absolute"));
    symlinkSync("../absolute/deep/..", join(folder, "real", "winding"));
    symlinkSync("loop", join(folder, "loop"));
    await writeFileAtomic(join(folder, "relative", "a"), "1", { trustedDirectory: true });
    await writeFileAtomic(join(folder, "absolute", "b"), "2", { trustedDirectory: true });
    await writeFileAtomic(join(folder, "real", "winding", "c"), "3", { trustedDirectory: true });
    assert.deepEqual(readdirSync(join(folder, "real", "deep")), ["a"]);
    assert.deepEqual(readdirSync(join(folder, "real")), ["b", "c", "deep", "winding"]);
    await assert.rejects(writeFileAtomic(join(folder, "loop", "d"), "4"), {
      code: "DIRECTORY_UNTRUSTED",
    });
  },
);

test("S56: a directory others can write is refused, at any level", onPosix, async (context) => {
  const folder = temporaryDirectory(context);
  mkdirSync(join(folder, "a", "b"), { recursive: true });
  const target = join(folder, "a", "b", "key");
  for (const [path, mode] of [
    ["a/b", 0o770],
    ["a/b", 0o707],
    ["a", 0o720],
    ["a/b", 0o1777],
  ] as const) {
    chmodSync(join(folder, path), mode);
    await assert.rejects(writeFileAtomic(target, "x", { trustedDirectory: true }), {
      code: "DIRECTORY_UNTRUSTED",
      message: `${join(folder, path)}: can be written by others (mode ${mode
        .toString(8)
        .padStart(4, "0")})`,
    });
    chmodSync(join(folder, path), 0o700);
  }
  await writeFileAtomic(target, "x", { trustedDirectory: true });
  assert.deepEqual(readdirSync(join(folder, "a", "b")), ["key"]);
});

test("S56: a sticky directory of root's is accepted on the way", asRoot, async (context) => {
  const folder = temporaryDirectory(context);
  mkdirSync(join(folder, "tmp", "mine"), { recursive: true });
  chmodSync(join(folder, "tmp"), 0o1777);
  await writeFileAtomic(join(folder, "tmp", "mine", "key"), "x");
  await assert.rejects(writeFileAtomic(join(folder, "tmp", "key"), "x"), {
    code: "DIRECTORY_UNTRUSTED",
  });
});

test("S56: root writes in nobody else's directory unless told so", asRoot, async (context) => {
  const folder = temporaryDirectory(context);
  mkdirSync(join(folder, "service"));
  chownSync(join(folder, "service"), 65534, 65534);
  const target = join(folder, "service", "key");
  await assert.rejects(writeFileAtomic(target, "x"), {
    code: "DIRECTORY_UNTRUSTED",
    message: `${join(folder, "service")}: belongs to user 65534`,
  });
  await assert.rejects(walkToDirectory(join(folder, "service"), { trusted: true }), {
    code: "DIRECTORY_UNTRUSTED",
  });
  await writeFileAtomic(target, "x", {
    dangerouslyAllowSharedDirectory: true,
    owner: { uid: 65534, gid: 65534 },
    mode: 0o400,
  });
  const { uid, gid } = statSync(target);
  assert.deepEqual({ uid, gid, mode: modeOf(target) }, { uid: 65534, gid: 65534, mode: 0o400 });
});

test("trustedDirectory cannot be waived by the dangerous option", onPosix, async (context) => {
  const folder = temporaryDirectory(context);
  chmodSync(folder, 0o777);
  const options = { trustedDirectory: true, dangerouslyAllowSharedDirectory: true };
  await assert.rejects(writeFileAtomic(join(folder, "key"), "x", options), {
    code: "DIRECTORY_UNTRUSTED",
  });
});

test("a missing directory, a file as directory and a directory as file are refused", async (context) => {
  const folder = temporaryDirectory(context);
  mkdirSync(join(folder, "d"));
  writeFileSync(join(folder, "f"), "");
  const overwrite = { overwrite: true };
  await assert.rejects(writeFileAtomic(join(folder, "no", "a"), "x"), { code: "FILE_NOT_FOUND" });
  await assert.rejects(writeFileAtomic(join(folder, "f", "a"), "x"), { code: "FILE_NOT_FOUND" });
  await assert.rejects(writeFileAtomic(join(folder, "d"), "x", overwrite), {
    code: "FILE_WRITE_FAILED",
  });
  await assert.rejects(createDirectory(join(folder, "f")), { code: "FILE_EXISTS" });
  await assert.rejects(createDirectory(join(folder, "f", "a")), { code: "FILE_NOT_FOUND" });
  await createDirectory(join(folder, "d"));
  assert.deepEqual(readdirSync(folder), ["d", "f"]);
});

test("wrong use is a TypeError", async () => {
  for (const path of ["", "/", "a/", "a/..", ".", "a\0b"]) {
    await assert.rejects(writeFileAtomic(path, "x"), TypeError, JSON.stringify(path));
  }
  for (const mode of [-1, 0o1000, 1.5]) {
    await assert.rejects(writeFileAtomic("/tmp/x", "x", { mode }), TypeError);
    await assert.rejects(createDirectory("/tmp/x", { mode }), TypeError);
  }
});

for (const kind of ["fresh", "overwrite"] as const) {
  test(`S56: killed before any step, a ${kind} file is whole or as before`, onPosix, (context) => {
    const folder = temporaryDirectory(context);
    const before = kind === "overwrite" ? "old" : undefined;
    const whole = "new ".repeat(50_000);
    const taken: string[] = [];
    let completed = "";
    for (let step = 0; completed === "" && step < 40; step++) {
      const place = join(folder, String(step));
      mkdirSync(place, { mode: 0o700 });
      const target = join(place, "target");
      if (before !== undefined) writeFileSync(target, before, { mode: 0o640 });
      const child = spawnSync(process.execPath, [
        "--conditions=@handfast/source",
        killer,
        target,
        String(step),
        kind,
      ]);
      assert.ok(child.signal === "SIGKILL" || child.status === 0, child.stderr.toString());
      completed = child.stdout.toString();
      const found = existsSync(target) ? readFileSync(target, "utf8") : undefined;
      assert.ok(found === before || found === whole, `step ${step}: a torn file`);
      taken.push(found === whole ? "new" : "before");
      for (const name of readdirSync(place).filter((name) => name !== "target")) {
        assert.match(name, /^\.handfast-[0-9a-f]{32}\.tmp$/);
      }
    }
    const steps = JSON.parse(completed) as string[];
    const placed = kind === "overwrite" ? ["rename"] : ["link", "unlink"];
    const expected = ["open", "writeFile", "chown", "chmod", "sync", ...placed];
    assert.deepEqual(steps, [...expected, "open", "sync"]);
    assert.equal(taken.indexOf("new"), 6);
    assert.equal(taken.at(-1), "new");
  });
}

const killer = fileURLToPath(new URL("support/kill-at-step.ts", import.meta.url));

test(
  "S56: a directory may be made in the sticky /tmp, a file may not",
  onPosix,
  async (context) => {
    const folder = temporaryDirectory(context);
    chmodSync(folder, 0o1777);
    await createDirectory(join(folder, "home"), { trustedDirectory: true });
    assert.equal(statSync(join(folder, "home")).mode & 0o777, 0o700);
    await assert.rejects(writeFileAtomic(join(folder, "key"), "k", { trustedDirectory: true }), {
      code: "DIRECTORY_UNTRUSTED",
    });
  },
);
