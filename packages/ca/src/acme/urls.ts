/** Where the resources of the ACME server are. */
export interface Urls {
  readonly to: (...segments: readonly string[]) => string;
  /**
   * What a request asks for, by its target: the segments below the base (none if it is not below
   * it), the whole URL, and the URL without its query.
   */
  readonly asked: (target: string) => {
    readonly segments: readonly string[];
    readonly url: string;
    readonly pathname: string;
  };
}

/**
 * The URLs below a base, as clients reach it (`https://ca.bank.example:8443/acme`). What a request
 * says of its host plays no part in them.
 */
export function createUrls(url: string): Urls {
  const parsed = new URL(url);
  if (parsed.protocol !== "https:" || parsed.search !== "" || parsed.hash !== "") {
    throw new TypeError(`url must be https:// without query and fragment, not ${url}`);
  }
  const path = parsed.pathname.replace(/\/+$/, "");
  return {
    to: (...segments) => [`${parsed.origin}${path}`, ...segments].join("/"),
    asked(target) {
      const [own = ""] = target.split("?", 1);
      const below = own.startsWith(`${path}/`);
      return {
        segments: below ? own.slice(path.length + 1).split("/") : [],
        url: `${parsed.origin}${target}`,
        pathname: `${parsed.origin}${own}`,
      };
    },
  };
}
