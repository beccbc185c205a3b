/** ErrorInfo.domain of every error of an online authority; the reason is a code of `caErrors`. */
export const errorDomain = "ca.handfast";
