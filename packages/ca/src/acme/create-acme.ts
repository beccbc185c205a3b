import type { IncomingMessage, ServerResponse } from "node:http";
import { certificatesToPem } from "@handfast/x509";
import type { AuditTrail } from "../audit.ts";
import type { Authority } from "../authority.ts";
import { CaError } from "../errors.ts";
import type { KeyStore } from "../keys.ts";
import type { Store } from "../store/store.ts";
import { createActs } from "./acts.ts";
import { takeFrom } from "./authenticate.ts";
import { challengeTypes } from "./challenge.ts";
import type { ChallengeType } from "./challenge.ts";
import type { AcmeAnswer, AcmeContext } from "./context.ts";
import type { AcmeEvent } from "./events.ts";
import { answerProblem, send } from "./http.ts";
import { readNetwork, readPermittedName } from "./identifier.ts";
import { systemNetwork } from "./network.ts";
import type { AcmeNetwork } from "./network.ts";
import { createNonces } from "./nonces.ts";
import { AcmeProblem } from "./problem.ts";
import { createRateLimit, sourceKey } from "./rate-limit.ts";
import { answerTo } from "./routes.ts";
import { openAcmeSecrets } from "./secrets.ts";
import { createUrls } from "./urls.ts";
import { createValidations } from "./validations.ts";
import { createValidator } from "./validator.ts";

/** What an ACME server is made of. */
export interface AcmeOptions {
  readonly authority: Authority;
  /** The store of that authority; several servers may share it. */
  readonly store: Store;
  /** The keys of that authority; the server's own secrets come from one that it adds. */
  readonly keys: KeyStore;
  /** Where clients reach it, as `https://ca.bank.example:8443/acme`: all its URLs begin so. */
  readonly url: string;
  /** The authority's profile for what is issued; `acme` if not given. */
  readonly profile?: string;
  /**
   * Lets anybody make an account, without an external account key, for these names (as
   * `ExternalAccountRequest.names`). Nobody, if not given.
   */
  readonly openNames?: readonly string[];
  /** All three if not given. */
  readonly challenges?: readonly ChallengeType[];
  /** Private networks (`10.1.0.0/16`) that challenges may be validated in; none if not given. */
  readonly allowNetworks?: readonly string[];
  /** How names are resolved and addresses connected to; this machine's network if not given. */
  readonly network?: AcmeNetwork;
  readonly limits?: Partial<AcmeLimits>;
  /** Told of each account that is made, ended or changes its key, and of each refusal. */
  readonly audit?: AuditTrail;
  readonly clock?: () => Date;
  /** For logs and metrics; it must not throw. */
  readonly onEvent?: (event: AcmeEvent) => void;
}

/** How much one source or one account may ask for. */
export interface AcmeLimits {
  /** Per second and source (/32 or /64); ten times as many at once. 20 if not given. */
  readonly requestsPerSourceSecond: number;
  /** 20 if not given; tries count, whether an account comes of them or not. */
  readonly accountsPerSourceHour: number;
  /** 300 if not given. */
  readonly ordersPerAccountHour: number;
  /** Orders that are neither done nor expired; 100 if not given. */
  readonly pendingOrdersPerAccount: number;
  /** Validations that failed; 60 if not given. */
  readonly failuresPerAccountHour: number;
}

/** An ACME server (RFC 8555) behind whatever listener it is given to. */
export interface Acme {
  /** Whether a request is for `handle`, by its target (`request.url`). */
  handles(target: string): boolean;
  /** Answers a request. Resolves once the answer was handed to the response; never rejects. */
  handle(request: IncomingMessage, response: ServerResponse): Promise<void>;
  /** Gives up the validations that are under way. The store stays open. */
  close(): Promise<void>;
}

/**
 * Makes an ACME server on an authority. Requests and answers are plain HTTP messages; that they
 * travel over TLS is the listener's part.
 *
 * @throws CaError NAME_REFUSED, those of the key store
 */
export async function createAcme(options: AcmeOptions): Promise<Acme> {
  const context = await contextOf(options);
  const { urls, nonces, limits, onEvent } = context;

  return {
    handles: (target) => urls.asked(target).segments.length > 0,
    async handle(request, response): Promise<void> {
      const source = sourceKey(request.socket.remoteAddress);
      const always: Record<string, string> = { Link: `<${urls.to("directory")}>;rel="index"` };
      const answer = await answered(request, source);
      const { pathname } = urls.asked(request.url ?? "");
      if (request.method === "POST" || pathname === urls.to("new-nonce")) {
        always["Replay-Nonce"] = nonces.create();
      }
      if (!response.destroyed) send(response, answer, always);
    },
    close: () => context.validations.close(),
  };

  async function answered(request: IncomingMessage, source: string): Promise<AcmeAnswer> {
    try {
      takeFrom(limits.requestsOfSource, source);
      return await answerTo(context, request, source);
    } catch (error) {
      return answerProblem(await refuse(error, source));
    }
  }

  /** What is not recorded is not said: then it is our own fault, and that is said. */
  async function refuse(error: unknown, source: string): Promise<AcmeProblem> {
    let problem = asProblem(error, onEvent);
    try {
      await context.acts.refused(problem, source);
    } catch (fault) {
      problem = asProblem(fault, onEvent);
    }
    onEvent({ type: "refused", problem: problem.type, detail: problem.message, source });
    return problem;
  }
}

async function contextOf(options: AcmeOptions): Promise<AcmeContext> {
  const { authority, store, keys, allowNetworks = [], profile = "acme" } = options;
  const { clock = () => new Date(), onEvent = () => {}, network = systemNetwork() } = options;
  if (!Object.hasOwn(authority.profiles, profile)) {
    throw new TypeError(`profile must be one of the authority's, not ${JSON.stringify(profile)}`);
  }
  const secrets = await openAcmeSecrets(keys);
  const roots = async () => [certificatesToPem(await authority.roots())];
  const context: AcmeContext = {
    authority,
    store,
    secrets,
    nonces: createNonces({ key: secrets.nonceKey, store, clock }),
    urls: createUrls(options.url),
    profile,
    openNames: options.openNames?.map(readPermittedName),
    challenges: options.challenges ?? challengeTypes,
    validations: createValidations({
      validator: createValidator({
        network,
        allowNetworks: allowNetworks.map(readNetwork),
        roots,
      }),
      context: () => context,
    }),
    acts: createActs({ audit: options.audit, clock }),
    limits: limitsOf(options.limits ?? {}, clock),
    clock,
    onEvent,
  };
  return context;
}

function limitsOf(given: Partial<AcmeLimits>, clock: () => Date): AcmeContext["limits"] {
  const { requestsPerSourceSecond = 20, accountsPerSourceHour = 20 } = given;
  const { ordersPerAccountHour = 300, failuresPerAccountHour = 60 } = given;
  const hourly = (burst: number) => createRateLimit({ perSecond: burst / 3_600, burst, clock });
  const perSecond = requestsPerSourceSecond;
  return {
    requestsOfSource: createRateLimit({ perSecond, burst: 10 * perSecond, clock }),
    accountsOfSource: hourly(accountsPerSourceHour),
    requestsOfAccount: createRateLimit({ perSecond, burst: 10 * perSecond, clock }),
    ordersOfAccount: hourly(ordersPerAccountHour),
    failuresOfAccount: hourly(failuresPerAccountHour),
    pendingOrders: given.pendingOrdersPerAccount ?? 100,
  };
}

/** What went wrong, as the client may hear it; what is our own fault is an event besides. */
function asProblem(error: unknown, onEvent: (event: AcmeEvent) => void): AcmeProblem {
  if (error instanceof AcmeProblem) return error;
  if (error instanceof CaError && error.code === "STORE_BUSY") {
    return new AcmeProblem("serverInternal", "the server is busy; try again", {
      status: 503,
      headers: { "Retry-After": "5" },
    });
  }
  onEvent({ type: "fault", error });
  return new AcmeProblem("serverInternal", "the server failed; its operator can see why");
}
