import { globSync, readFileSync } from "node:fs";

/** A fenced block of a document. */
export interface Block {
  /** What it is: `ts`, `console`, `sh`, … */
  readonly language: string;
  /** What stands behind the language: `file=server.ts`, `from=deploy/nginx/terminating.conf`. */
  readonly attributes: Readonly<Record<string, string>>;
  readonly text: string;
  /** Of the line with the opening fence, from 1. */
  readonly line: number;
}

/** A document and its blocks. */
export interface Document {
  readonly path: string;
  readonly text: string;
  readonly blocks: readonly Block[];
}

/** The documents whose blocks and links are held to what they say. */
export function readDocuments(): readonly Document[] {
  const paths = globSync([
    "README.md",
    "docs/**/*.md",
    "{packages,apps,examples,deploy}/**/README.md",
    "packages/*/*.md",
  ]).filter((path) => !path.includes("node_modules"));
  return [...new Set(paths)].toSorted().map((path) => readDocument(path));
}

export function readDocument(path: string): Document {
  const text = readFileSync(path, "utf8");
  return { path, text, blocks: blocksOf(text) };
}

function blocksOf(text: string): readonly Block[] {
  const blocks: Block[] = [];
  let open: { info: string; line: number; lines: string[]; indent: string } | undefined;
  for (const [index, line] of text.split("\n").entries()) {
    const [, indent = "", info = ""] = /^(\s*)```(.*)$/.exec(line) ?? [];
    const fence = /^\s*```/.test(line);
    if (open === undefined) {
      if (fence) open = { info: info.trim(), line: index + 1, lines: [], indent };
    } else if (fence) {
      const [language = "", ...words] = open.info.split(/\s+/);
      const attributes = Object.fromEntries(
        words.map((word) => {
          const [name = "", value = "yes"] = word.split("=");
          return [name, value];
        }),
      );
      blocks.push({ language, attributes, text: `${open.lines.join("\n")}\n`, line: open.line });
      open = undefined;
    } else {
      open.lines.push(line.startsWith(open.indent) ? line.slice(open.indent.length) : line);
    }
  }
  return blocks;
}

/** The targets of a document's links that point into the repository. */
export function localLinks({ text }: Document): readonly string[] {
  const prose = text.replaceAll(/^\s*```[^]*?^\s*```/gm, "");
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target = ""]) => target)
    .filter((target) => !/^[a-z]+:/.test(target));
}

/** The anchors of a document's headings, as they are linked to. */
export function anchorsOf({ text }: Document): ReadonlySet<string> {
  return new Set(
    [...text.matchAll(/^#+ (.*)$/gm)].map(([, title = ""]) =>
      title
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
        .replaceAll(" ", "-"),
    ),
  );
}
