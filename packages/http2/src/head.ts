import { badName, badValue, fieldKinds, fieldOverhead, kindMask } from "./fields.ts";
import type { Fields } from "./fields.ts";
import type { FieldSink } from "./hpack-decoder.ts";

/** A request as RFC 9113 section 8.3.1 has it; absent pseudo-header fields are empty. Frozen. */
export interface RequestHead {
  readonly method: string;
  readonly scheme: string;
  readonly authority: string;
  /** As received, never empty but for CONNECT; it may lack the leading slash. */
  readonly path: string;
  /** The other fields, in order. */
  readonly fields: Fields;
}

/** A response's head; `status` is 200 to 999 for a final one, 100 to 199 for an informational one. Frozen. */
export interface ResponseHead {
  readonly status: number;
  readonly fields: Fields;
}

/** What a field block is: each has pseudo-header fields of its own. */
export const blockKinds = { request: 0, response: 1, trailers: 2 } as const;
export type BlockKind = (typeof blockKinds)[keyof typeof blockKinds];

/** What a block decoded to and how it was judged. Frozen; at most one of the three contents is there. */
export interface HeadBlock {
  /** Why it is malformed, if it is. */
  readonly malformed: string | undefined;
  /** Whether the list is larger than was allowed. */
  readonly tooLarge: boolean;
  /** The value of content-length, or -1. */
  readonly contentLength: number;
  readonly request: RequestHead | undefined;
  readonly response: ResponseHead | undefined;
  readonly trailers: Fields | undefined;
}

/**
 * Takes the fields of one block as they are decoded and judges them by RFC 9113 sections 8.2 and 8.3 and
 * by S39. A malformed block or one that is too large is decoded to its end all the same, for the sake
 * of the table, but nothing of it is kept.
 */
export class HeadReader implements FieldSink {
  #malformed: string | undefined;
  #tooLarge: boolean = false;
  #contentLength: number = -1;
  #status: number = 0;
  #method: string = "";
  #kind: BlockKind = blockKinds.request;
  #sizeLeft: number = 0;
  #scheme: string = "";
  #authority: string = "";
  #path: string = "";
  #host: string | undefined;
  #pseudosSeen: number = 0;
  #fields: string[] = [];

  /** Begins a block; `maxListSize` as in SETTINGS_MAX_HEADER_LIST_SIZE. */
  begin(kind: BlockKind, maxListSize: number): void {
    this.#malformed = undefined;
    this.#tooLarge = false;
    this.#contentLength = -1;
    this.#status = 0;
    this.#method = "";
    this.#kind = kind;
    this.#sizeLeft = maxListSize;
    this.#scheme = "";
    this.#authority = "";
    this.#path = "";
    this.#host = undefined;
    this.#pseudosSeen = 0;
    this.#fields = [];
  }

  field(name: string, value: string, traits: number): void {
    this.#sizeLeft -= name.length + value.length + fieldOverhead;
    if (this.#sizeLeft < 0) {
      this.#tooLarge = true;
    } else if (traits === fieldKinds.regular) {
      this.#fields.push(name, value);
    } else {
      this.#specialField(name, value, traits);
    }
  }

  /** Judges the block as a whole. */
  finish(): HeadBlock {
    const kind = this.#kind;
    if (this.#malformed === undefined && !this.#tooLarge) {
      if (kind === blockKinds.request) {
        this.#judgeRequest();
      } else if (kind === blockKinds.response && this.#status === 0) {
        this.#malformed = "the response has no :status (8.3.2)";
      }
    }
    const malformed = this.#malformed;
    const tooLarge = this.#tooLarge;
    const isGood = malformed === undefined && !tooLarge;
    const fields: Fields = Object.freeze(this.#fields);
    return Object.freeze({
      malformed,
      tooLarge,
      contentLength: this.#contentLength,
      request: isGood && kind === blockKinds.request ? this.#requestHead(fields) : undefined,
      response:
        isGood && kind === blockKinds.response
          ? Object.freeze({ status: this.#status, fields })
          : undefined,
      trailers: isGood && kind === blockKinds.trailers ? fields : undefined,
    });
  }

  #requestHead(fields: Fields): RequestHead {
    return Object.freeze({
      method: this.#method,
      scheme: this.#scheme,
      authority: this.#authority,
      path: this.#path,
      fields,
    });
  }

  #specialField(name: string, value: string, traits: number): void {
    if ((traits & badName) !== 0) {
      this.#malformed ??= "a field name is empty or has a forbidden octet (8.2.1)";
      return;
    }
    if ((traits & badValue) !== 0) {
      this.#malformed ??= `the value of ${name.slice(0, 64)} has a forbidden octet or outer space (8.2.1)`;
      return;
    }
    const kind = traits & kindMask;
    if (kind >= fieldKinds.method && kind <= fieldKinds.otherPseudo) {
      this.#pseudoField(kind, name, value);
      return;
    }
    switch (kind) {
      case fieldKinds.connectionSpecific:
        this.#malformed ??= `${name} is a field of HTTP/1.1 connections (8.2.2)`;
        break;
      case fieldKinds.te:
        if (value !== "trailers") {
          this.#malformed ??= "te has another value than trailers (8.2.2)";
        }
        break;
      case fieldKinds.contentLength:
        this.#contentLengthField(value);
        break;
      case fieldKinds.host:
        if (this.#host !== undefined) {
          this.#malformed ??= "there is more than one host (8.3.1)";
        }
        this.#host = value;
        break;
      default:
    }
    this.#fields.push(name, value);
  }

  #pseudoField(kind: number, name: string, value: string): void {
    const isResponseField = kind === fieldKinds.status;
    if (
      kind === fieldKinds.otherPseudo ||
      this.#kind === blockKinds.trailers ||
      isResponseField !== (this.#kind === blockKinds.response)
    ) {
      this.#malformed ??= `${name.slice(0, 64)} does not belong here (8.3)`;
    } else if (this.#fields.length > 0) {
      this.#malformed ??= `${name} comes after a regular field (8.3)`;
    } else if ((this.#pseudosSeen & (1 << kind)) !== 0) {
      this.#malformed ??= `there is more than one ${name} (8.3)`;
    }
    this.#pseudosSeen |= 1 << kind;
    switch (kind) {
      case fieldKinds.method:
        this.#method = value;
        break;
      case fieldKinds.scheme:
        this.#scheme = value;
        break;
      case fieldKinds.path:
        this.#path = value;
        break;
      case fieldKinds.authority:
        this.#authority = value;
        break;
      case fieldKinds.status:
        this.#statusField(value);
        break;
      default:
    }
  }

  #statusField(value: string): void {
    if (!/^[1-9][0-9][0-9]$/.test(value) || value === "101") {
      this.#malformed ??= ":status is not a status code of HTTP/2 (8.3.2, 8.6)";
      return;
    }
    this.#status = Number(value);
  }

  #contentLengthField(value: string): void {
    if (!/^[0-9]{1,15}$/.test(value)) {
      this.#malformed ??= "content-length is not a number (8.1.1)";
      return;
    }
    const length = Number(value);
    if (this.#contentLength !== -1 && this.#contentLength !== length) {
      this.#malformed ??= "there are different values of content-length (8.1.1)";
    }
    this.#contentLength = length;
  }

  #judgeRequest(): void {
    const seen = this.#pseudosSeen;
    if (this.#method === "CONNECT") {
      if (seen !== connectPseudos) {
        this.#malformed = "CONNECT needs :authority and neither :scheme nor :path (8.5)";
      }
    } else if ((seen & requiredPseudos) !== requiredPseudos) {
      this.#malformed = "the request lacks :method, :scheme or :path (8.3.1)";
    } else if (this.#method === "" || this.#scheme === "" || this.#path === "") {
      this.#malformed = ":method, :scheme or :path is empty (8.3.1)";
    }
    if (this.#authority.includes("@")) {
      this.#malformed ??= ":authority has a userinfo part (8.3.1)";
    }
    if (
      this.#host !== undefined &&
      (seen & authorityPseudo) !== 0 &&
      this.#host !== this.#authority
    ) {
      this.#malformed ??= "host and :authority differ (8.3.1)";
    }
  }
}

const authorityPseudo = 1 << fieldKinds.authority;
const requiredPseudos =
  (1 << fieldKinds.method) | (1 << fieldKinds.scheme) | (1 << fieldKinds.path);
const connectPseudos = (1 << fieldKinds.method) | authorityPseudo;
