import { toBinary } from "@bufbuild/protobuf";
import type { DescFile, DescMethod, DescService, MessageInitShape } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import {
  ServerReflection,
  ServerReflectionResponseSchema,
} from "./gen/grpc/reflection/v1/reflection_pb.ts";
import type { ServerReflectionRequest } from "./gen/grpc/reflection/v1/reflection_pb.ts";
import type { ServerCall } from "./server/call.ts";
import type { ServiceHandlers } from "./server/handlers.ts";
import { statusNumbers } from "./status.ts";

/** What reflection tells of. */
export interface ReflectionOptions {
  /** The services that are served, at this moment. */
  services(): Iterable<DescService>;
  /** Whether a caller may call a method: what he may not call he is not told of (security.md S43). */
  mayCall(call: ServerCall, method: DescMethod): boolean;
}

/** Creates the handlers of the reflection service; v1 and v1alpha have the same. */
export function createReflection(
  options: ReflectionOptions,
): ServiceHandlers<typeof ServerReflection> {
  return {
    async *serverReflectionInfo(requests, call) {
      for await (const request of requests) {
        yield {
          validHost: request.host,
          originalRequest: request,
          messageResponse: answer(request, visibleServices(options, call)),
        };
      }
    },
  };
}

type Answer = NonNullable<
  MessageInitShape<typeof ServerReflectionResponseSchema>["messageResponse"]
>;

function visibleServices(options: ReflectionOptions, call: ServerCall): DescService[] {
  return [...options.services()].filter((service) =>
    service.methods.some((method) => options.mayCall(call, method)),
  );
}

function answer(
  { messageRequest }: ServerReflectionRequest,
  services: readonly DescService[],
): Answer {
  const files = filesOf(services);
  switch (messageRequest.case) {
    case "listServices": {
      const service = services.map(({ typeName }) => ({ name: typeName }));
      return { case: "listServicesResponse", value: { service } };
    }
    case "fileByFilename":
      return described(files.find((file) => nameOf(file) === messageRequest.value));
    case "fileContainingSymbol":
      return described(files.find((file) => declares(file, messageRequest.value)));
    case "fileContainingExtension": {
      const { containingType, extensionNumber } = messageRequest.value;
      const found = files.find((file) =>
        file.extensions.some(
          ({ extendee, number }) =>
            extendee.typeName === containingType && number === extensionNumber,
        ),
      );
      return described(found);
    }
    case "allExtensionNumbersOfType": {
      const type = messageRequest.value;
      if (!files.some((file) => declares(file, type))) return notFound();
      const extensionNumber = files
        .flatMap(({ extensions }) => extensions)
        .filter(({ extendee }) => extendee.typeName === type)
        .map(({ number }) => number);
      return {
        case: "allExtensionNumbersResponse",
        value: { baseTypeName: type, extensionNumber },
      };
    }
    case undefined:
      return failed("INVALID_ARGUMENT", "the request asks for nothing");
  }
}

/** The files of services and what they import, each once. */
function filesOf(services: readonly DescService[]): DescFile[] {
  const found = new Set<DescFile>();
  const visit = (file: DescFile): void => {
    if (found.has(file)) return;
    found.add(file);
    for (const dependency of file.dependencies) visit(dependency);
  };
  for (const { file } of services) visit(file);
  return [...found];
}

function declares(file: DescFile, symbol: string): boolean {
  const isOrHas = (type: { readonly typeName: string }): boolean => type.typeName === symbol;
  return (
    file.messages.some((message) => isOrHas(message) || nested(message).some(isOrHas)) ||
    file.enums.some(isOrHas) ||
    file.extensions.some(isOrHas) ||
    file.services.some(
      (service) =>
        isOrHas(service) ||
        service.methods.some(({ name }) => `${service.typeName}.${name}` === symbol),
    )
  );
}

function nested(message: DescFile["messages"][number]): { readonly typeName: string }[] {
  return [
    ...message.nestedEnums,
    ...message.nestedExtensions,
    ...message.nestedMessages.flatMap((inner) => [inner, ...nested(inner)]),
  ];
}

/** The file and its imports: what a caller needs to read it. */
function described(file: DescFile | undefined): Answer {
  if (file === undefined) return notFound();
  const all = filesWith(file, new Set());
  return {
    case: "fileDescriptorResponse",
    value: {
      fileDescriptorProto: [...all].map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto)),
    },
  };
}

function filesWith(file: DescFile, into: Set<DescFile>): Set<DescFile> {
  into.add(file);
  for (const dependency of file.dependencies)
    if (!into.has(dependency)) filesWith(dependency, into);
  return into;
}

/** protobuf-es drops the suffix that requests have. */
function nameOf({ name }: DescFile): string {
  return `${name}.proto`;
}

function notFound(): Answer {
  return failed("NOT_FOUND", "not found");
}

function failed(code: "NOT_FOUND" | "INVALID_ARGUMENT", errorMessage: string): Answer {
  return { case: "errorResponse", value: { errorCode: statusNumbers[code], errorMessage } };
}
