import { readBounded } from "@handfast/files";
import { parsePolicyCases, testPolicy } from "@handfast/policy";
import type { PolicyCaseResult } from "@handfast/policy";
import type { Command } from "commander";
import { withCommonOptions } from "../../common-options.ts";
import type { CommonOptions, Context } from "../../context.ts";
import { AnsweredNo } from "../../failure.ts";
import { inFile, readPolicy, withPolicyOptions } from "../../policy-file.ts";
import type { PolicyOptions } from "../../policy-file.ts";

type TestOptions = CommonOptions & PolicyOptions;

/** `handfast policy test POLICY CASES`: does the policy decide each case as expected. */
export function policyTestCommand(group: Command, context: Context): void {
  const command = group
    .command("test <policy> <cases>")
    .description("decide each case of a file and compare with what it expects")
    .action((policy: string, cases: string, options: TestOptions) =>
      test({ policy, cases }, { options, context }),
    );
  withPolicyOptions(withCommonOptions(command));
}

async function test(
  files: { policy: string; cases: string },
  { options, context: { output } }: { options: TestOptions; context: Context },
): Promise<void> {
  const policy = await readPolicy(files.policy, options);
  const bytes = await readBounded(files.cases, { maxBytes: maxCasesBytes });
  const results = testPolicy(
    policy,
    inFile(files.cases, () => parsePolicyCases(bytes)),
  );
  const failed = results.filter(({ passed }) => !passed);
  if (options.json === true) {
    output.json({
      passed: results.length - failed.length,
      failed: failed.map((result) => ({
        case: result.case.place,
        expected: { verdict: result.case.expect, rule: result.case.rule ?? null },
        decided: { verdict: verdictOf(result), rule: result.decision.rule },
      })),
    });
  } else {
    output.line(`${results.length - failed.length} of ${results.length} cases as expected`);
  }
  for (const result of failed) {
    const { place, expect, rule, request } = result.case;
    const expected = rule === undefined ? expect : `${expect} by ${ruleText(rule)}`;
    output.note(
      `error: ${files.cases}: ${place}: ${request.path}: expected ${expected}, got ${verdictOf(result)} by ${ruleText(result.decision.rule)}`,
    );
  }
  if (failed.length === 0) return;
  output.note("hint: change the policy, or the case if it expects the wrong thing");
  throw new AnsweredNo();
}

function verdictOf({ decision }: PolicyCaseResult): "allow" | "deny" {
  return decision.allowed ? "allow" : "deny";
}

function ruleText(rule: string): string {
  return rule === "" ? "no rule" : `rule ${rule}`;
}

const maxCasesBytes = 64 * 1_024 * 1_024;
