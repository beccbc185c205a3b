import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parsePolicy } from "@handfast/policy";
import { parseAllDocuments } from "yaml";
import { anchorsOf, localLinks, readDocument } from "./markdown.ts";
import type { Block, Document } from "./markdown.ts";

/**
 * Type-checks every `ts` block of the documents in one program, as it stands. A block marked `continued` goes
 * on where the one before it ended. Generated code of the greeter (proto/greeter) is there as `./gen`.
 *
 * @returns what the compiler says, with the lines of the documents; empty if all is well
 */
export function typeProblems(documents: readonly Document[]): readonly string[] {
  const root = resolve(".documents");
  rmSync(root, { recursive: true, force: true });
  const origins = new Map<string, { path: string; line: number }[]>();
  for (const document of documents) {
    const folder = join(root, document.path.replaceAll("/", "_"));
    let last: string | undefined;
    for (const block of document.blocks.filter(({ language }) => language === "ts")) {
      const file =
        block.attributes["continued"] !== undefined && last !== undefined
          ? last
          : join(folder, block.attributes["file"] ?? `line-${block.line}.ts`);
      mkdirSync(dirname(file), { recursive: true });
      if (!existsSync(join(folder, "gen"))) {
        symlinkSync(resolve("examples/greeter/src/gen"), join(folder, "gen"));
      }
      const before = last === file ? readFileSync(file, "utf8") : "";
      writeFileSync(file, `${before}${block.text}`);
      const lines = origins.get(file) ?? [];
      const start = before.split("\n").length - 1;
      for (const [index] of block.text.split("\n").entries()) {
        lines[start + index] = { path: document.path, line: block.line + 1 + index };
      }
      origins.set(file, lines);
      last = file;
    }
  }
  writeFileSync(
    join(root, "tsconfig.json"),
    JSON.stringify({
      extends: "../tsconfig.json",
      compilerOptions: { isolatedDeclarations: false, declaration: false },
      include: ["**/*.ts"],
    }),
  );
  const { stdout } = spawnSync("tsc", ["-p", join(root, "tsconfig.json"), "--pretty", "false"], {
    encoding: "utf8",
  });
  const problems = stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [, file = "", number = "", rest = ""] = /^(.*?)\((\d+),\d+\): (.*)$/.exec(line) ?? [];
      const origin = origins.get(resolve(file))?.[Number(number) - 1];
      return origin === undefined ? line : `${origin.path}:${origin.line}: ${rest}`;
    });
  if (problems.length === 0) rmSync(root, { recursive: true, force: true });
  return problems;
}

/** What is wrong with blocks that are neither compiled nor run: scripts, JSON, and quotations of files. */
export function blockProblems({ path, blocks }: Document): readonly string[] {
  return blocks.flatMap((block) => {
    const problem = problemOf(block);
    return problem === undefined ? [] : [`${path}:${block.line}: ${problem}`];
  });
}

function problemOf({ language, attributes, text }: Block): string | undefined {
  const { from } = attributes;
  if (from !== undefined) {
    if (!existsSync(from)) return `${from} is not there`;
    // The formatter sets quotations further to the left.
    const quoted = lines(text).join("\n");
    return lines(readFileSync(from, "utf8")).join("\n").includes(quoted)
      ? undefined
      : `${from} says otherwise`;
  }
  switch (language) {
    case "sh": {
      const { status, stderr } = spawnSync("/bin/sh", ["-n"], { input: text, encoding: "utf8" });
      return status === 0 ? undefined : stderr;
    }
    case "json":
      try {
        JSON.parse(text);
        if (attributes["policy"] !== undefined) parsePolicy(text);
        return undefined;
      } catch (thrown) {
        return thrown instanceof Error ? thrown.message : String(thrown);
      }
    case "yaml":
      return parseAllDocuments(text).flatMap(({ errors }) => errors)[0]?.message;
    case "ts":
    case "console":
    case "text":
      return undefined;
    default:
      return known.has(language)
        ? "quotes a file without saying which (`from=PATH`)"
        : `nobody checks a block of ${language === "" ? "no language" : language}`;
  }
}

function lines(text: string): readonly string[] {
  return text
    .trim()
    .split("\n")
    .map((line) => line.trim());
}

/** Links into the repository that lead nowhere. */
export function linkProblems(document: Document): readonly string[] {
  return localLinks(document).flatMap((link) => {
    const [target = "", anchor] = link.split("#");
    const path = target === "" ? document.path : join(dirname(document.path), target);
    if (!existsSync(path)) return [`${document.path}: ${link} is not there`];
    if (anchor === undefined || !path.endsWith(".md")) return [];
    return anchorsOf(readDocument(path)).has(anchor)
      ? []
      : [`${document.path}: ${link} has no such heading`];
  });
}

const known: ReadonlySet<string> = new Set(["nginx", "ini", "go", "python", "dockerfile"]);
