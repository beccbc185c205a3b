// deploy/: what Kubernetes, cert-manager, Istio and systemd would read is valid by their own schemas and tools.
import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, join, relative } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { cached, needs, onPath } from "./peers.ts";
import { runProgram } from "./programs.ts";

const deploy = fileURLToPath(new URL("../../deploy", import.meta.url));
const schemas = cached("schemas", "node_modules");
const withSchemas = { skip: needs(schemas, "a package of Kubernetes schemas") ?? false };
const withKubectl = { skip: needs(schemas, "schemas") ?? onPath("kubectl") ?? false };
const overlays = globSync("kubernetes/overlays/*", { cwd: deploy });
const components = globSync("kubernetes/components/*", { cwd: deploy });

for (const path of globSync("kubernetes/**/*.yaml", { cwd: deploy })) {
  if (basename(path) === "kustomization.yaml") continue;
  test(`${path} is valid`, withSchemas, async () => {
    const documents = parseAll(readFileSync(join(deploy, path), "utf8"));
    assert.ok(documents.length > 0);
    await Promise.all(documents.map(validate));
  });
}

for (const overlay of overlays) {
  for (const component of [undefined, ...components]) {
    const added = component === undefined ? "" : ` with ${basename(component)}`;
    test(`overlay ${basename(overlay)}${added} renders, and is valid`, withKubectl, async () => {
      const documents = parseAll(await render(overlay, component));
      await Promise.all(documents.map(validate));
      const pods = documents.flatMap(podOf);
      assert.equal(pods.length, 1);
      for (const pod of pods) assertRestricted(pod);
      assert.deepEqual(
        documents.filter(({ kind }) => kind === "Secret"),
        [],
      );
    });
  }
}

test("a manifest that is wrong is found", withSchemas, async () => {
  const path = join(deploy, "kubernetes/overlays/replicated/deployment.yaml");
  const text = readFileSync(path, "utf8").replace("replicas: 3", "replicas: three");
  const [manifest] = parseAll(text);
  assert.ok(manifest !== undefined);
  await assert.rejects(validate(manifest), /replicas/);
});

test("the policy of the manifests is the bank's", () => {
  const shipped = readFileSync(join(deploy, "kubernetes/base/policy.json"), "utf8");
  const bank = fileURLToPath(new URL("../../apps/bank/policies/bank.json", import.meta.url));
  assert.equal(shipped, readFileSync(bank, "utf8"));
});

for (const path of globSync("systemd/*.service", { cwd: deploy })) {
  test(`${path} is locked down`, { skip: onPath("systemd-analyze") ?? false }, async () => {
    const file = join(deploy, path);
    // The exposure that systemd itself computes, of 0 to 100; a unit that says nothing has 96.
    const argv = ["systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=20"];
    const { exitCode, output } = await runProgram([...argv, file]);
    assert.equal(exitCode, 0, output);
  });
}

interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly spec?: { readonly template?: { readonly spec?: Pod } };
}

type Models = Readonly<Record<string, new (manifest: Manifest) => { validate(): void }>>;

interface Pod {
  readonly automountServiceAccountToken?: boolean;
  readonly terminationGracePeriodSeconds?: number;
  readonly securityContext?: Readonly<Record<string, unknown>>;
  readonly containers: readonly { readonly securityContext?: Readonly<Record<string, unknown>> }[];
}

function parseAll(text: string): readonly Manifest[] {
  const { parseAllDocuments } = createRequire(join(schemas, "package.json"))("yaml") as {
    parseAllDocuments(text: string): readonly { toJS(): Manifest }[];
  };
  return parseAllDocuments(text).map((document) => document.toJS());
}

/** @throws what the published schema of its kind says against it */
async function validate(manifest: Manifest): Promise<void> {
  const { apiVersion, kind } = manifest;
  const group = Object.keys(packages).find((name) => apiVersion.includes(name));
  const from = packages[group ?? ""] ?? "kubernetes-models";
  const models = (await import(join(schemas, from, apiVersion, `${kind}.js`))) as Models;
  const Model = models[kind];
  assert.ok(Model !== undefined, `${apiVersion} ${kind} has no schema`);
  new Model(manifest).validate();
}

async function render(overlay: string, component: string | undefined): Promise<string> {
  const directory = await mkdtemp(join(deploy, "kubernetes", ".rendered-"));
  try {
    const path = (target: string): string => relative(directory, join(deploy, target));
    const lines = ["resources:", `  - ${path(overlay)}`];
    if (component !== undefined) lines.push("components:", `  - ${path(component)}`);
    await writeFile(join(directory, "kustomization.yaml"), `${lines.join("\n")}\n`);
    const { exitCode, output } = await runProgram(["kubectl", "kustomize", directory]);
    assert.equal(exitCode, 0, output);
    return output;
  } finally {
    await rm(directory, { recursive: true });
  }
}

function podOf({ spec }: Manifest): readonly Pod[] {
  return spec?.template?.spec === undefined ? [] : [spec.template.spec];
}

/** What the Pod Security Standard "restricted" asks for, and a file system that cannot be written. */
function assertRestricted(pod: Pod): void {
  assert.equal(pod.automountServiceAccountToken, false);
  assert.ok((pod.terminationGracePeriodSeconds ?? 0) >= drainSeconds);
  assert.equal(pod.securityContext?.["runAsNonRoot"], true);
  assert.deepEqual(pod.securityContext?.["seccompProfile"], { type: "RuntimeDefault" });
  for (const { securityContext } of pod.containers) {
    assert.deepEqual(securityContext, {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
  }
}

/** preStop, and the grace that the bank gives to calls in flight. */
const drainSeconds = 5 + 10;
const packages: Readonly<Record<string, string>> = {
  "cert-manager.io": "@kubernetes-models/cert-manager",
  "istio.io": "@kubernetes-models/istio",
};
