import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { runLimboCase, type LimboTestcase } from "../../../bench/limbo.ts";
import { limboSuite, withoutVectors } from "./vectors.ts";

const suite: readonly LimboTestcase[] = limboSuite();
const page = readFileSync(new URL("../../../docs/limbo.md", import.meta.url), "utf8");

describe("x509-limbo", { skip: withoutVectors }, () => {
  const results = suite.map((testcase) => ({ testcase, result: runLimboCase(testcase) }));

  test("differs where docs/limbo.md says, and nowhere else", () => {
    const wrong = results.filter(
      ({ testcase, result }) =>
        result.actual_result !== "SKIPPED" && result.actual_result !== testcase.expected_result,
    );
    const ids = wrong.map(({ testcase: { id, expected_result } }) => `${id} ${expected_result}`);
    assert.deepEqual(ids, rowsOf("Wrong", /^\| `(.+?)` +\| (SUCCESS|FAILURE) +\|/));
    assert.ok(ids.length <= 14);
  });

  test("skips what docs/limbo.md says, and nothing else", () => {
    const skipped = results.filter(({ result }) => result.actual_result === "SKIPPED");
    const ids = skipped.map(({ testcase }) => testcase.id);
    assert.deepEqual(ids, rowsOf("Skipped", /^\| `(.+?)` +\|/));
    assert.ok(ids.length <= 10);
  });

  test("comes to the figures of docs/limbo.md, by group and under the default rules", () => {
    const figures = (rulesByGroup: boolean): string => {
      const right = { SUCCESS: "right", FAILURE: "right", SKIPPED: "skipped" } as const;
      const counts = { right: 0, wrong: 0, skipped: 0 };
      for (const testcase of suite) {
        const { actual_result } = runLimboCase(testcase, { rulesByGroup });
        const isWrong = actual_result !== "SKIPPED" && actual_result !== testcase.expected_result;
        counts[isWrong ? "wrong" : right[actual_result]]++;
      }
      return `${counts.right} right, ${counts.wrong} wrong, ${counts.skipped} skipped`;
    };
    const [right, wrong, skipped] =
      /^\| Handfast \| (\d+) +\| (\d+) +\| (\d+) +\|$/m.exec(page)?.slice(1) ?? [];
    assert.equal(figures(true), `${right} right, ${wrong} wrong, ${skipped} skipped`);
    assert.ok(page.includes(`the same suite gives ${figures(false)}`));
  });

  test("S45: each case of the pathological group takes under 50 ms", () => {
    const pathological = suite.filter(({ id }) => id.startsWith("pathological::"));
    assert.equal(pathological.length, 11);
    for (const testcase of pathological) {
      // Of the processor, for the machine may be busy with others.
      const started = process.threadCpuUsage();
      runLimboCase(testcase);
      const { user, system } = process.threadCpuUsage(started);
      assert.ok(user + system < 50_000, `${testcase.id}: ${user + system} µs`);
    }
  });

  test("runs in under a second", () => {
    const started = process.threadCpuUsage();
    for (const testcase of suite) runLimboCase(testcase);
    const { user, system } = process.threadCpuUsage(started);
    assert.ok(user + system < 1_000_000, `${user + system} µs`);
  });
});

/** The rows of the table under a heading, their groups joined by spaces. */
function rowsOf(heading: string, row: RegExp): string[] {
  const [, section = ""] = page.split(`\n## ${heading}\n`);
  const [table = ""] = section.split("\n## ");
  return table.split("\n").flatMap((line) => {
    const found = row.exec(line);
    return found ? [found.slice(1).join(" ")] : [];
  });
}
