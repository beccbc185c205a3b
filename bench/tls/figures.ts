/** Prints one figure: of what, how much, and how that compares. */
export function print(name: string, value: string, remark = ""): void {
  console.log(`  ${name.padEnd(40)} ${value.padStart(10)}   ${remark}`.trimEnd());
}
