// What holds for the whole repository and no single package can show.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { test } from "node:test";

const sources = globSync("{packages,apps}/*/{src,test}/**/*.ts", {
  exclude: ["**/src/gen/**"],
}).map((path) => ({
  path,
  text: readFileSync(path, "utf8"),
}));

test("Node's own verdict is set aside in the verifier's file and nowhere else, tests included", () => {
  const places = sources
    .filter(({ text }) => /rejectUnauthorized["']?\s*[:=](?!\s*true\b)/.test(text))
    .map(({ path }) => path);
  assert.deepEqual(places, ["packages/tls/src/verify-peer.ts"]);
  const verifier = sources.find(({ path }) => path === "packages/tls/src/verify-peer.ts");
  assert.equal(verifier?.text.match(/rejectUnauthorized/g)?.length, 1);
});

test("no source switches verification off by the environment", () => {
  const places = sources
    .filter(({ text }) => /env\W+NODE_TLS_REJECT_UNAUTHORIZED\W*\s=\s/.test(text))
    .map(({ path }) => path);
  assert.deepEqual(places, []);
});

test("no private key is in the repository", () => {
  const places = globSync("**/*", {
    exclude: ["node_modules", ".git", "**/node_modules/**", "**/dist/**"],
    withFileTypes: true,
  })
    .filter((entry) => entry.isFile())
    .map((entry) => `${entry.parentPath}/${entry.name}`)
    .filter((path) =>
      /-----BEGIN [A-Z ]*PRIVATE KEY-----\r?\n[A-Za-z0-9+/]{40}/.test(readFileSync(path, "latin1")),
    );
  assert.deepEqual(places, []);
});

test("each package's dependencies on ours are what the table of rooms allows", () => {
  const allowed: Record<string, readonly string[]> = {
    "@handfast/x509": [],
    "@handfast/files": [],
    "@handfast/http2": [],
    "@handfast/policy": ["files"],
    "@handfast/tls": ["x509", "files"],
    "@handfast/grpc": ["tls", "policy", "http2"],
    "@handfast/ca": ["x509", "files", "tls", "policy", "grpc"],
  };
  for (const path of globSync("packages/*/package.json")) {
    const { name, dependencies = {} } = JSON.parse(readFileSync(path, "utf8")) as {
      name: string;
      dependencies?: Record<string, string>;
    };
    const ours = Object.keys(dependencies).filter((dependency) =>
      dependency.startsWith("@handfast/"),
    );
    const permitted = new Set(allowed[name]?.map((room) => `@handfast/${room}`));
    assert.deepEqual(
      ours.filter((dependency) => !permitted.has(dependency)),
      [],
      name,
    );
  }
});
