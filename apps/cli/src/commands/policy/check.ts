import { fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { readBounded } from "@handfast/files";
import { checkPolicy } from "@handfast/policy";
import type { Command } from "commander";
import { withCommonOptions } from "../../common-options.ts";
import type { CommonOptions, Context } from "../../context.ts";
import { UsageError } from "../../failure.ts";
import { readPolicy, withPolicyOptions } from "../../policy-file.ts";
import type { PolicyOptions } from "../../policy-file.ts";

interface CheckOptions extends CommonOptions, PolicyOptions {
  readonly services?: string;
}

/** `handfast policy check FILE`: is the policy valid, and does it say what was meant. */
export function policyCheckCommand(group: Command, { output }: Context): void {
  const command = group
    .command("check <file>")
    .description(
      "say whether a policy document is valid, where it is not, and what looks like a trap",
    )
    .option(
      "--services <file>",
      "a descriptor set (`buf build -o FILE`): also look for methods nobody may call",
    )
    .action(async (file: string, options: CheckOptions) => {
      const { name, version, document } = await readPolicy(file, options);
      const methods =
        options.services === undefined ? undefined : await readMethods(options.services);
      const findings = checkPolicy(document, methods === undefined ? {} : { methods });
      if (options.json === true) {
        output.json({ file, valid: true, name, version, findings });
        return;
      }
      output.line(`${file}: policy ${name} is valid (SHA-256 ${version})`);
      for (const { place, code, message } of findings) {
        output.line(`warning: ${place}: ${message} (${code})`);
      }
    });
  withPolicyOptions(withCommonOptions(command));
}

/** The paths of all methods of a descriptor set. */
async function readMethods(file: string): Promise<string[]> {
  const bytes = await readBounded(file, { maxBytes: MAX_DESCRIPTOR_BYTES });
  let set;
  try {
    set = fromBinary(FileDescriptorSetSchema, bytes);
  } catch {
    throw new UsageError(
      `${file}: expected a FileDescriptorSet`,
      "`buf build -o FILE` writes one; so does `protoc --descriptor_set_out=FILE`",
    );
  }
  return set.file.flatMap((descriptor) =>
    descriptor.service.flatMap((service) =>
      service.method.map(
        (method) =>
          `/${[descriptor.package, service.name].filter(Boolean).join(".")}/${method.name}`,
      ),
    ),
  );
}

const MAX_DESCRIPTOR_BYTES = 16 * 1024 * 1024;
