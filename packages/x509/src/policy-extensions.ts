import { DerReader, malformed } from "./der.ts";

/** RFC 5280 4.2.1.5. */
export interface PolicyMapping {
  readonly issuerDomainPolicy: string;
  readonly subjectDomainPolicy: string;
}

/** RFC 5280 4.2.1.11. */
export interface PolicyConstraints {
  readonly requireExplicitPolicy?: number;
  readonly inhibitPolicyMapping?: number;
}

/** The policies of certificatePolicies; qualifiers are checked for shape and left aside. */
export function readPolicies(reader: DerReader): string[] {
  const what = "certificatePolicies";
  const inner = reader.sequence(what);
  const policies = new Set<string>();
  while (!inner.done) {
    const information = inner.sequence(what);
    const policy = information.oid(what);
    if (policies.has(policy)) throw malformed(what, `name ${policy} twice`);
    policies.add(policy);
    if (!information.done) readQualifiers(information.sequence(what), what);
    information.finish(what);
  }
  if (policies.size === 0) throw malformed(what, "are empty");
  return [...policies];
}

/** The value of policyMappings. */
export function readPolicyMappings(reader: DerReader): PolicyMapping[] {
  const what = "policyMappings";
  const inner = reader.sequence(what);
  const mappings: PolicyMapping[] = [];
  while (!inner.done) {
    const mapping = inner.sequence(what);
    mappings.push({
      issuerDomainPolicy: mapping.oid(what),
      subjectDomainPolicy: mapping.oid(what),
    });
    mapping.finish(what);
  }
  if (mappings.length === 0) throw malformed(what, "are empty");
  return mappings;
}

/** The value of policyConstraints. */
export function readPolicyConstraints(reader: DerReader): PolicyConstraints {
  const what = "policyConstraints";
  const inner = reader.sequence(what);
  const requireExplicitPolicy = inner.peek() === 0x80 ? inner.smallInteger(what, 0x80) : undefined;
  const inhibitPolicyMapping = inner.peek() === 0x81 ? inner.smallInteger(what, 0x81) : undefined;
  inner.finish(what);
  if (requireExplicitPolicy === undefined && inhibitPolicyMapping === undefined) {
    throw malformed(what, "are empty");
  }
  return {
    ...(requireExplicitPolicy !== undefined && { requireExplicitPolicy }),
    ...(inhibitPolicyMapping !== undefined && { inhibitPolicyMapping }),
  };
}

/** The value of inhibitAnyPolicy. */
export function readInhibitAnyPolicy(reader: DerReader): number {
  return reader.smallInteger("inhibitAnyPolicy");
}

function readQualifiers(qualifiers: DerReader, what: string): void {
  if (qualifiers.done) throw malformed(what, "have an empty list of qualifiers");
  while (!qualifiers.done) {
    const qualifier = qualifiers.sequence(what);
    qualifier.oid(what);
    qualifier.any(what);
    qualifier.finish(what);
  }
}
