/**
 * The Huffman code of RFC 7541 Appendix B. The code is canonical (codes of one length ascend with the
 * octet they stand for), so the lengths below are all of it; codes and decoding table follow from them.
 */

/** Octets that `text` takes in Huffman code, the padding included. Each char code must be below 256. */
export function huffmanLength(text: string): number {
  let bits = 0;
  for (let index = 0; index < text.length; index += 1) {
    bits += codeLengths[text.charCodeAt(index)]!;
  }
  return (bits + 7) >>> 3;
}

/** Writes `text` at `at` and returns where it ends; room for {@link huffmanLength} must be there. */
export function putHuffman(bytes: Uint8Array, at: number, text: string): number {
  let position = at;
  let pending = 0;
  let pendingBits = 0;
  for (let index = 0; index < text.length; index += 1) {
    const octet = text.charCodeAt(index);
    let left = codeLengths[octet]!;
    const code = codes[octet]!;
    // A code is up to 30 bits long, so it is fed in by whole octets and never meets the sign bit.
    while (left > 0) {
      const take = Math.min(left, 8 - pendingBits);
      left -= take;
      pending = (pending << take) | ((code >>> left) & ((1 << take) - 1));
      pendingBits += take;
      if (pendingBits === 8) {
        bytes[position] = pending;
        position += 1;
        pending = 0;
        pendingBits = 0;
      }
    }
  }
  if (pendingBits > 0) {
    const padding = 8 - pendingBits;
    bytes[position] = (pending << padding) | ((1 << padding) - 1);
    position += 1;
  }
  return position;
}

/**
 * Decodes octets `start` to `end` of `source` into `target` and returns how many octets came out, or -1
 * if the code is wrong: EOS inside, a padding of more than seven bits or of other bits than ones
 * (RFC 7541 section 5.2). `target` needs room for {@link huffmanExpansion} times the source.
 */
export function decodeHuffman(
  source: Uint8Array,
  start: number,
  end: number,
  target: Uint8Array,
): number {
  let state = 0;
  let length = 0;
  let step = accepting;
  for (let position = start; position < end; position += 1) {
    const octet = source[position]!;
    step = steps[state | (octet >>> 4)]!;
    if ((step & emits) !== 0) {
      target[length] = step;
      length += 1;
    }
    step = steps[(step >>> stateShift) | (octet & 0xf)]!;
    if ((step & emits) !== 0) {
      target[length] = step;
      length += 1;
    }
    state = step >>> stateShift;
  }
  return (step & accepting) === 0 ? -1 : length;
}

/** The shortest code has five bits: one octet in is at most 8/5 octets out. */
export const huffmanExpansion = 1.6;

/** Code lengths in bits of octets 0 to 255, then of EOS (RFC 7541 Appendix B). */
const codeLengths: readonly number[] = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
  28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5,
  6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6,
  7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23,
  23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22,
  22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22,
  23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27,
  27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25,
  24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const longestCode = 30;
const endOfString = 256;

const codes: readonly number[] = canonicalCodes();

// The decoder goes four bits at a time from state to state; a state is an inner node of the code tree.
// Four bits complete at most one octet. A step holds that octet, whether there is one, whether the bits
// since the last octet would do as padding, and the next state. Wrong code leads to a state without exit.
const emits = 1 << 8;
const accepting = 1 << 9;
const stateShift = 12;

const steps: Int32Array = decodingSteps();

function canonicalCodes(): number[] {
  const result: number[] = Array.from({ length: codeLengths.length }, () => 0);
  let next = 0;
  for (let length = 1; length <= longestCode; length += 1) {
    next *= 2;
    for (let octet = 0; octet < codeLengths.length; octet += 1) {
      if (codeLengths[octet] === length) {
        result[octet] = next;
        next += 1;
      }
    }
  }
  return result;
}

interface CodeNode {
  readonly state: number;
  /** The bits from the root are at most seven and all ones: they may be padding. */
  readonly mayBePadding: boolean;
  /** Inner nodes, or the octet (or EOS) that the code stands for. */
  readonly children: [zero?: CodeNode | number, one?: CodeNode | number];
}

function decodingSteps(): Int32Array {
  const nodes = codeTree();
  const deadEnd = nodes.length << 4;
  const table = new Int32Array(deadEnd + 16).fill(deadEnd << stateShift);
  for (const from of nodes) {
    for (let nibble = 0; nibble < 16; nibble += 1) {
      const step = walk(from, nibble, nodes[0]!);
      if (step !== undefined) {
        table[(from.state << 4) | nibble] = step;
      }
    }
  }
  return table;
}

/** The step for four bits from a node, or undefined if they run into EOS. */
function walk(from: CodeNode, nibble: number, root: CodeNode): number | undefined {
  let node = from;
  let emitted = 0;
  for (let bit = 3; bit >= 0; bit -= 1) {
    const child = node.children[((nibble >>> bit) & 1) as 0 | 1]!;
    if (child === endOfString) {
      return undefined;
    }
    if (typeof child === "number") {
      emitted = emits | child;
      node = root;
    } else {
      node = child;
    }
  }
  return emitted | (node.mayBePadding ? accepting : 0) | ((node.state << 4) << stateShift);
}

function codeTree(): CodeNode[] {
  const nodes: CodeNode[] = [{ state: 0, mayBePadding: true, children: [] }];
  for (let octet = 0; octet < codeLengths.length; octet += 1) {
    const length = codeLengths[octet]!;
    let node = nodes[0]!;
    for (let bit = length - 1; bit > 0; bit -= 1) {
      const side = ((codes[octet]! >>> bit) & 1) as 0 | 1;
      let child = node.children[side];
      if (child === undefined) {
        const depth = length - bit;
        const onlyOnes = codes[octet]! >>> bit === (1 << depth) - 1;
        child = { state: nodes.length, mayBePadding: onlyOnes && depth <= 7, children: [] };
        nodes.push(child);
        node.children[side] = child;
      }
      node = child as CodeNode;
    }
    node.children[(codes[octet]! & 1) as 0 | 1] = octet;
  }
  return nodes;
}
