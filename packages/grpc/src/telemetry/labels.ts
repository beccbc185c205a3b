import type { DescMethod } from "@bufbuild/protobuf";
import type { StatusName } from "../status.ts";
import { methodName } from "./spans.ts";

/** The labels of a method's measurements, made once. */
export interface MethodLabels {
  readonly method: { readonly "grpc.method": string };
  /** With the status that a call of it ended with. */
  of(status: StatusName): { readonly "grpc.method": string; readonly "grpc.status": StatusName };
}

/** Keeps the labels of each method: a service has few, and calls them often. */
export function createLabels(): (descriptor: DescMethod) => MethodLabels {
  const known = new Map<DescMethod, MethodLabels>();
  return (descriptor) => {
    let labels = known.get(descriptor);
    if (labels === undefined) {
      labels = labelsOf(methodName(descriptor));
      known.set(descriptor, labels);
    }
    return labels;
  };
}

function labelsOf(name: string): MethodLabels {
  const byStatus = new Map<StatusName, ReturnType<MethodLabels["of"]>>();
  return {
    method: { "grpc.method": name },
    of(status) {
      let labels = byStatus.get(status);
      if (labels === undefined) {
        labels = { "grpc.method": name, "grpc.status": status };
        byStatus.set(status, labels);
      }
      return labels;
    },
  };
}
