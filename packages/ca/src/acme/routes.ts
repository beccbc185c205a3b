import type { IncomingMessage } from "node:http";
import { changeKey, newAccount, updateAccount } from "./accounts.ts";
import { authenticateAccount, authenticateEither, authenticateKey } from "./authenticate.ts";
import type { Arrived } from "./authenticate.ts";
import { readAuthorization, respondToChallenge } from "./authorizations.ts";
import { downloadCertificate, revokeCertificate } from "./certificates.ts";
import type { AccountRequest, AcmeAnswer, AcmeContext } from "./context.ts";
import { finalizeOrder, readOrder } from "./finalize.ts";
import { readBody } from "./http.ts";
import { listOrders, newOrder } from "./orders.ts";
import { AcmeProblem } from "./problem.ts";
import { renewalInfo } from "./renewal-info.ts";

/** Finds the resource of a request and lets it answer. @throws AcmeProblem, and what the store throws */
export async function answerTo(
  context: AcmeContext,
  request: IncomingMessage,
  source: string,
): Promise<AcmeAnswer> {
  const { method = "" } = request;
  const { segments, url } = context.urls.asked(request.url ?? "");
  const route = routes.find(({ path }) => matches(path, segments));
  if (route === undefined) {
    throw new AcmeProblem("malformed", "there is no such resource", { status: 404 });
  }
  const params = segments.filter((_, index) => route.path[index] === parameter);
  if ("read" in route) {
    if (method !== "GET" && method !== "HEAD") throw notAllowed("GET, HEAD");
    return route.read(context, params, method);
  }
  if (method !== "POST") throw notAllowed("POST");
  return route.post(context, { body: await readBody(request), url, source }, params);
}

type Route = { readonly path: readonly string[] } & (
  | {
      readonly read: (
        context: AcmeContext,
        params: readonly string[],
        method: "GET" | "HEAD",
      ) => AcmeAnswer | Promise<AcmeAnswer>;
    }
  | {
      readonly post: (
        context: AcmeContext,
        arrived: Arrived,
        params: readonly string[],
      ) => Promise<AcmeAnswer>;
    }
);

/** A resource of an account, signed by it. */
function ofAccount(
  run: (
    context: AcmeContext,
    request: AccountRequest,
    params: readonly string[],
  ) => Promise<AcmeAnswer>,
): {
  post: (context: AcmeContext, arrived: Arrived, params: readonly string[]) => Promise<AcmeAnswer>;
} {
  return {
    post: async (context, arrived, params) =>
      run(context, await authenticateAccount(context, arrived), params),
  };
}

function directory({ urls, openNames }: AcmeContext): AcmeAnswer {
  return {
    status: 200,
    body: {
      newNonce: urls.to("new-nonce"),
      newAccount: urls.to("new-account"),
      newOrder: urls.to("new-order"),
      revokeCert: urls.to("revoke-cert"),
      keyChange: urls.to("key-change"),
      renewalInfo: urls.to("renewal-info"),
      meta: { externalAccountRequired: openNames === undefined },
    },
  };
}

function requireOwn({ account }: AccountRequest, id: string | undefined): void {
  if (account.id === id) return;
  throw new AcmeProblem("unauthorized", "the account is another one");
}

function matches(path: readonly string[], segments: readonly string[]): boolean {
  return (
    path.length === segments.length &&
    path.every((part, index) =>
      part === parameter ? segments[index] !== "" : part === segments[index],
    )
  );
}

function notAllowed(allow: string): AcmeProblem {
  return new AcmeProblem("malformed", `the methods of this resource are ${allow}`, {
    status: 405,
    headers: { Allow: allow },
  });
}

const parameter = ":";

/** All resources (RFC 8555 7.1, RFC 9773), by their paths below the server's URL. */
const routes: readonly Route[] = [
  { path: ["directory"], read: directory },
  {
    path: ["new-nonce"],
    read: (_context, _params, method) => ({ status: method === "HEAD" ? 200 : 204 }),
  },
  { path: ["renewal-info", parameter], read: renewalInfo },
  {
    path: ["new-account"],
    post: async (context, arrived) => newAccount(context, await authenticateKey(context, arrived)),
  },
  { path: ["new-order"], ...ofAccount(newOrder) },
  { path: ["key-change"], ...ofAccount(changeKey) },
  {
    path: ["revoke-cert"],
    post: async (context, arrived) =>
      revokeCertificate(context, await authenticateEither(context, arrived)),
  },
  {
    path: ["account", parameter],
    ...ofAccount(async (context, request, [id]) => {
      requireOwn(request, id);
      return updateAccount(context, request);
    }),
  },
  {
    path: ["account", parameter, "orders"],
    ...ofAccount(async (context, request, [id]) => {
      requireOwn(request, id);
      const before = new URL(request.url).searchParams.get("before") ?? undefined;
      return listOrders(context, { account: request.account.id, before });
    }),
  },
  { path: ["order", parameter], ...ofAccount(readOrder) },
  { path: ["order", parameter, "finalize"], ...ofAccount(finalizeOrder) },
  { path: ["authorization", parameter, parameter], ...ofAccount(readAuthorization) },
  { path: ["challenge", parameter, parameter, parameter], ...ofAccount(respondToChallenge) },
  { path: ["certificate", parameter], ...ofAccount(downloadCertificate) },
];
