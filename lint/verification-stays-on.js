// Forbids `rejectUnauthorized` with anything but the literal true: the verifier's file is the one exception,
// and says so where the rule is configured.
const rule = {
  meta: { type: "problem" },
  create(context) {
    return {
      Property(node) {
        const name = node.key.type === "Identifier" ? node.key.name : node.key.value;
        if (name !== "rejectUnauthorized") return;
        if (node.value.type === "Literal" && node.value.value === true) return;
        context.report({
          node,
          message:
            "verification is never switched off: only packages/tls/src/verify-peer.ts takes the verdict over",
        });
      },
    };
  },
};

export default {
  meta: { name: "handfast" },
  rules: { "verification-stays-on": rule },
};
