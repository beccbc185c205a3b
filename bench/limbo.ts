/**
 * Runs a suite in the format of x509-limbo: JSON on stdin (at most 256 MiB), results as JSON on stdout.
 *
 *     npm run --silent bench:limbo < limbo.json > results.json
 *
 * docs/limbo.md says under which rules each group runs, and lists where we differ from the suite.
 */
import {
  decodePem,
  parseCertificate,
  parseCrl,
  verifyChain,
  type Certificate,
  type ChainPurpose,
  type Crl,
  type IssuingRules,
} from "@handfast/x509";

/** What is used of a test case of limbo-schema.json. */
export interface LimboTestcase {
  readonly id: string;
  readonly features: readonly string[];
  readonly validation_kind: "CLIENT" | "SERVER";
  readonly trusted_certs: readonly string[];
  readonly untrusted_intermediates: readonly string[];
  readonly peer_certificate: string;
  readonly validation_time: string | null;
  readonly expected_result: "SUCCESS" | "FAILURE";
  readonly expected_peer_name: PeerName | null;
  readonly expected_peer_names: readonly PeerName[];
  readonly max_chain_depth: number | null;
  readonly crls?: readonly string[];
}

/** A result as limbo's own tools read it. */
export interface LimboResult {
  readonly id: string;
  readonly actual_result: "SUCCESS" | "FAILURE" | "SKIPPED";
  readonly context: string;
}

interface PeerName {
  readonly kind: "RFC822" | "DNS" | "IP";
  readonly value: string;
}

/** How a case is run. */
export interface RunLimboOptions {
  /** May remember certificates between cases. */
  readonly parse?: (pem: string) => Certificate;
  /** Whether each group runs under the rules on issuing it is about, as it does by default. */
  readonly rulesByGroup?: boolean;
}

/** Runs one case. */
export function runLimboCase(testcase: LimboTestcase, options: RunLimboOptions = {}): LimboResult {
  const { id } = testcase;
  const unsupported = testcase.features.find((feature) => skippedFeatures.has(feature));
  if (unsupported !== undefined) {
    return { id, actual_result: "SKIPPED", context: skippedFeatures.get(unsupported) ?? "" };
  }
  try {
    const problem = problemOf(testcase, options);
    return {
      id,
      actual_result: problem === undefined ? "SUCCESS" : "FAILURE",
      context: problem ?? "",
    };
  } catch (error) {
    // One case that cannot be run must not take the others with it.
    return { id, actual_result: "FAILURE", context: String(error) };
  }
}

function problemOf(
  testcase: LimboTestcase,
  { parse = parseOne, rulesByGroup = true }: RunLimboOptions,
): string | undefined {
  const leaf = parse(testcase.peer_certificate);
  // What cannot be read in a trust store or among the candidates is left out.
  const readable = (pems: readonly string[]): Certificate[] =>
    pems.flatMap((pem) => {
      try {
        return [parse(pem)];
      } catch {
        return [];
      }
    });
  const peer = testcase.expected_peer_name;
  const rules = rulesByGroup ? issuingRulesOf(testcase.id) : undefined;
  const verdict = verifyChain(
    { leaf, candidates: readable(testcase.untrusted_intermediates) },
    {
      anchors: readable(testcase.trusted_certs),
      now: new Date(testcase.validation_time ?? Date.now()),
      purpose: testcase.validation_kind.toLowerCase() as ChainPurpose,
      ...(peer && peer.kind !== "RFC822" && { name: peer.value }),
      ...(testcase.max_chain_depth !== null && { maxDepth: testcase.max_chain_depth }),
      ...(rules && { issuingRules: rules }),
      ...(testcase.crls?.length && { crls: readableCrls(testcase.crls), undetermined: "refuse" }),
    },
  );
  if (!verdict.ok) return `${verdict.reason}: ${verdict.message}`;
  const missing = [
    ...testcase.expected_peer_names,
    ...(peer?.kind === "RFC822" ? [peer] : []),
  ].find(({ kind, value }) => !leaf.subjectAltNames[sanKinds[kind]].includes(value));
  return missing && `the certificate does not carry ${missing.kind} ${missing.value}`;
}

/** A list that cannot be read says nothing, and the certificate is refused as undetermined. */
function readableCrls(pems: readonly string[]): Crl[] {
  return pems.flatMap((pem) => {
    try {
      return [parseCrl(pem)];
    } catch {
      return [];
    }
  });
}

/** Two groups of the suite test a profile each, and contradict each other; the rest tests paths. */
function issuingRulesOf(id: string): IssuingRules | undefined {
  if (id.startsWith("rfc5280::")) return "rfc5280";
  return id.startsWith("webpki::") ? "publicWeb" : undefined;
}

function parseOne(pem: string): Certificate {
  const [block, ...more] = decodePem(pem);
  if (!block || more.length > 0) throw new Error("expected one PEM block");
  return parseCertificate(block.der);
}

function rememberingParser(limit: number): (pem: string) => Certificate {
  const seen = new Map<string, Certificate>();
  return (pem) => {
    const known = seen.get(pem);
    if (known) return known;
    const certificate = parseOne(pem);
    if (seen.size >= limit) seen.clear();
    seen.set(pem, certificate);
    return certificate;
  };
}

async function readAll(limit: number): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > limit) throw new Error(`the suite is larger than ${limit} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

const sanKinds = { RFC822: "email", DNS: "dns", IP: "ip" } as const;
const skippedFeatures: ReadonlyMap<string, string> = new Map([
  ["pedantic-public-suffix-wildcard", "Handfast brings no public suffix list"],
]);

if (import.meta.main) {
  const suite = JSON.parse(await readAll(256 * 1024 * 1024)) as {
    testcases: readonly LimboTestcase[];
  };
  const parse = rememberingParser(1000);
  const results = suite.testcases.map((testcase) => runLimboCase(testcase, { parse }));
  process.stdout.write(`${JSON.stringify({ version: 1, harness: "handfast", results })}\n`);
}
