// deploy/Dockerfile without an engine: judged by a linter, and its steps run one after the other in a tree of their
// own, which the bank then serves from as somebody without rights, with everything but /data read-only.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { cached, needs, onPath } from "./peers.ts";
import { runProgram } from "./programs.ts";

const repository = fileURLToPath(new URL("../..", import.meta.url));
const dockerfile = join(repository, "deploy/Dockerfile");
const linter = cached("schemas", "node_modules");
const withLinter = { skip: needs(join(linter, "dockerfile-utils"), "dockerfile-utils") ?? false };
const asRoot = process.getuid?.() === 0 ? undefined : "only root can lay out a tree and leave it";
const withTree = {
  skip: withLinter.skip || (asRoot ?? onPath("unshare") ?? onPath("setpriv") ?? false),
};

test("the Dockerfile has no fault that a linter knows", withLinter, async () => {
  const text = await readFile(dockerfile, "utf8");
  assert.deepEqual(lint(text), []);
  assert.notDeepEqual(lint(text.replace("WORKDIR /app", "WORKDIR app")), []);
});

test(
  "its steps make a bank that serves, unprivileged, from a tree that it cannot write",
  withTree,
  async () => {
    const folder = await mkdtemp(join(tmpdir(), "handfast-image-"));
    try {
      const script = join(folder, "build.sh");
      await writeFile(script, await scriptOf(folder));
      const { exitCode, output } = await runProgram(["unshare", "--mount", "bash", script], {
        env: registrySettings(),
        timeoutMs: 300_000,
      });
      assert.equal(exitCode, 0, output);
      assert.match(output, /^uid 65532 writes nothing but \/data$/m);
      assert.match(output, /^healthy$/m);
      assert.match(output, /^ +closing balance +750\.00$/m);
      assert.match(output, /^stopped with 0$/m);
    } finally {
      await rm(folder, { recursive: true });
    }
  },
);

/** A shell script that does in trees below `folder` what an engine would do in layers. */
async function scriptOf(folder: string): Promise<string> {
  const { DockerfileParser } = load("dockerfile-ast") as DockerfileAst;
  const stages: Stage[] = [];
  for (const instruction of DockerfileParser.parse(
    await readFile(dockerfile, "utf8"),
  ).getInstructions()) {
    const keyword = instruction.getKeyword();
    const words = instruction.getArguments().map((argument) => argument.getValue());
    const text = instruction.getArgumentsContent() ?? "";
    const from = instruction
      .getFlags?.()
      .find((flag) => flag.getName() === "from")
      ?.getValue();
    if (keyword === "FROM") {
      stages.push({
        name: words[2] ?? "image",
        env: [],
        workdir: "/",
        steps: [],
        user: "0:0",
        entrypoint: [],
        health: "",
      });
      continue;
    }
    const stage = stages.at(-1);
    if (stage === undefined) continue;
    const tree = `${folder}/${stage.name}`;
    switch (keyword) {
      case "WORKDIR":
        stage.workdir = words[0] ?? "/";
        stage.steps.push(`mkdir -p ${tree}${stage.workdir}`);
        break;
      case "ENV":
        stage.env.push(...words);
        break;
      case "COPY":
        stage.steps.push(copyStep(words, { folder, tree, workdir: stage.workdir, from }));
        break;
      case "RUN":
        stage.steps.push(
          `enter ${tree} ${stage.workdir} 0:0 ${quote(text)} ${stage.env.join(" ")}`,
        );
        break;
      case "USER":
        stage.user = words[0] ?? "";
        break;
      case "HEALTHCHECK":
        stage.health = (JSON.parse(text.slice(text.indexOf("["))) as string[]).map(quote).join(" ");
        break;
      case "ENTRYPOINT":
        stage.entrypoint = JSON.parse(text) as string[];
        break;
      default:
        assert.match(keyword, /^(?:ARG|VOLUME|EXPOSE|STOPSIGNAL)$/);
    }
  }
  const image = stages.at(-1);
  assert.ok(
    image !== undefined && stages.length > 1 && image.entrypoint.length > 0 && image.health !== "",
  );
  const trees = stages.map(({ name, steps }) => [`base ${folder}/${name}`, ...steps].join("\n"));
  return [
    prelude(),
    ...trees,
    serveSteps(`${folder}/${image.name}`, { image, port: await freePort() }),
  ].join("\n");
}

/** What is served, asked and stopped, once the image's tree stands. */
function serveSteps(tree: string, { image, port }: { image: Stage; port: number }): string {
  const settings = [
    ...image.env,
    "HOST=127.0.0.1",
    `PORT=${port}`,
    "CA_FILE=/tls/ca.crt",
    "CERT_FILE=/tls/bank.crt",
    "KEY_FILE=/tls/bank.key",
  ].join(" ");
  const client = settings.replaceAll("bank.", "alice.");
  const run = `enter ${tree} ${image.workdir} ${image.user}`;
  return `
mkdir ${tree}/tls && export HANDFAST_HOME=${tree}/home
node ${repository}/apps/cli/bin/handfast.js init >/dev/null
node ${repository}/apps/cli/bin/handfast.js issue bank alice --local --layout flat --out ${tree}/tls >/dev/null
rm -r ${tree}/home && chown -R ${image.user} ${tree}/tls
mount --rbind ${tree} ${tree} && mount -o remount,bind,ro ${tree}
mount --bind ${tree}/data ${tree}/data && mount -o remount,bind,rw ${tree}/data
${run} 'test "$(id -u)" = 65532 && ! touch /app/x /tmp/x /x 2>/dev/null && touch /data/x && rm /data/x &&
  test -z "$(find /app -writable -print -quit)" && echo "uid $(id -u) writes nothing but /data"'
${run} ${quote(`exec ${image.entrypoint.map(quote).join(" ")}`)} ${settings} >${dirname(tree)}/bank.log 2>&1 &
bank=$!
for _ in $(seq 300); do grep -q listening ${dirname(tree)}/bank.log && break; sleep 0.1; done
${run} ${quote(image.health)} ${settings} && echo healthy || cat ${dirname(tree)}/bank.log
${run} 'node apps/bank/dist/client.js --host localhost' ${client} || cat ${dirname(tree)}/bank.log
kill -TERM $(pgrep -P $bank -f bank/dist/main.js || echo $bank)
status=0; wait $bank || status=$?
echo "stopped with $status"`;
}

/** `base` lays out what a base image has; `enter` runs a command inside of a tree. */
function prelude(): string {
  return `set -euo pipefail
mount --make-rprivate /
base() {
  mkdir -p "$1"/{usr,etc,proc,dev,tmp,opt/node}
  for link in bin lib lib64 sbin; do [ ! -e /$link ] || ln -s usr/$link "$1/$link"; done
  mount --bind /usr "$1/usr" && mount -o remount,bind,ro "$1/usr"
  mount --bind /etc "$1/etc" && mount -o remount,bind,ro "$1/etc"
  mount --bind ${dirname(process.execPath)} "$1/opt/node" && mount -o remount,bind,ro "$1/opt/node"
  mount --bind /proc "$1/proc" && mount --bind /dev "$1/dev"
}
enter() {
  local tree=$1 workdir=$2 user=$3 command=$4; shift 4
  local keep=(); while IFS= read -r name; do keep+=("$name=\${!name}"); done < <(compgen -e | grep -iE '^(npm_config_.*|node_extra_ca_certs|https?_proxy|no_proxy)$' || true)
  chroot "$tree" /usr/bin/setpriv --reuid="\${user%:*}" --regid="\${user#*:}" --clear-groups \\
    /usr/bin/env -i PATH=/opt/node:/usr/local/bin:/usr/bin:/bin HOME=/tmp "\${keep[@]}" "$@" \\
    /bin/bash -c "cd $workdir && $command"
}
`;
}

function copyStep(
  words: readonly string[],
  at: { folder: string; tree: string; workdir: string; from: string | undefined },
): string {
  const { from } = at;
  const [source = "", target = ""] = words;
  const to = `${at.tree}${at.workdir}/${target}`;
  // What is not in the repository is not in the context either: keys, modules, what was built.
  if (from === undefined) {
    assert.equal(source, ".");
    return `git -C ${repository} ls-files -z --cached --others --exclude-standard | tar -C ${repository} --null -T - -c | tar -x --no-same-owner -C ${to}`;
  }
  return `cp -a --no-preserve=ownership ${at.folder}/${from}${source} ${to}`;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  await new Promise((resolve) => server.close(resolve));
  return address.port;
}

function lint(text: string): readonly string[] {
  const { validate } = load("dockerfile-utils") as DockerfileUtils;
  return validate(text).map(({ message }) => message);
}

function load(name: string): unknown {
  return createRequire(join(linter, "_"))(name);
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** How this machine reaches the registry, which a build is told too. */
function registrySettings(): Record<string, string> {
  const settings = Object.entries(process.env).filter(
    (entry): entry is [string, string] =>
      /^(?:npm_config_.*|node_extra_ca_certs|https?_proxy|no_proxy)$/i.test(entry[0]) &&
      entry[1] !== undefined,
  );
  return { ...Object.fromEntries(settings), npm_config_cache: "/tmp/npm" };
}

interface Stage {
  readonly name: string;
  readonly env: string[];
  readonly steps: string[];
  workdir: string;
  user: string;
  entrypoint: string[];
  /** A command line, quoted. */
  health: string;
}

interface DockerfileUtils {
  validate(text: string): { readonly message: string }[];
}

interface DockerfileAst {
  readonly DockerfileParser: {
    parse(text: string): {
      getInstructions(): {
        getKeyword(): string;
        getArguments(): { getValue(): string }[];
        getArgumentsContent(): string | null;
        getFlags?(): { getName(): string; getValue(): string }[];
      }[];
    };
  };
}
