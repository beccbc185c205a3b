import type { Command, Option } from "commander";

/** Shells there is a script for. */
export const shells = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof shells)[number];

/** The lines of a script that completes the words of a program: commands, options and their choices, else files. */
export function completionScript(program: Command, shell: Shell): readonly string[] {
  const places = placesOf(program, []);
  return shell === "fish" ? fishScript(places) : functionScript(places, shell);
}

/** A command by the words that lead to it, and what may follow. */
interface Place {
  readonly path: readonly string[];
  readonly description: string;
  readonly commands: readonly string[];
  readonly options: readonly Option[];
}

function placesOf(command: Command, path: readonly string[]): readonly Place[] {
  return [
    {
      path,
      description: command.description(),
      commands: command.commands.map((each) => each.name()),
      options: command.options,
    },
    ...command.commands.flatMap((each) => placesOf(each, [...path, each.name()])),
  ];
}

/** One function for bash and zsh: walk the words to the place, then say what may follow there. */
function functionScript(places: readonly Place[], shell: "bash" | "zsh"): readonly string[] {
  const paths = places
    .filter(({ path }) => path.length > 0)
    .map(({ path }) => `"${path.join(" ")}"`);
  const given =
    shell === "bash"
      ? [
          `  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}"`,
          `  local before=("\${COMP_WORDS[@]:1:COMP_CWORD-1}")`,
        ]
      : [
          `  local current="\${words[CURRENT]}" previous="\${words[CURRENT-1]}"`,
          `  local before=("\${(@)words[2,CURRENT-1]}")`,
        ];
  const offer =
    shell === "bash"
      ? [`  COMPREPLY=($(compgen -W "$offered" -- "$current"))`]
      : [`  compadd -- \${=offered} || _files`];
  const declare =
    shell === "bash"
      ? ["complete -o default -F _handfast handfast"]
      : ["(( $+functions[compdef] )) && compdef _handfast handfast"];
  return [
    `# ${shell} completion of handfast`,
    "_handfast() {",
    ...given,
    `  local place="" word offered=""`,
    `  for word in "\${before[@]}"; do`,
    `    case "\${place:+$place }$word" in`,
    `      ${paths.join("|")}) place="\${place:+$place }$word" ;;`,
    "    esac",
    "  done",
    `  case "$place" in`,
    ...places.map(
      ({ path, commands, options }) =>
        `    "${path.join(" ")}") offered="${[...commands, ...options.flatMap(flagsOf)].join(" ")}" ;;`,
    ),
    "  esac",
    `  case "$previous" in`,
    ...choicesOf(places).map(([flag, choices]) => `    ${flag}) offered="${choices.join(" ")}" ;;`),
    "  esac",
    ...offer,
    "}",
    ...declare,
  ];
}

function fishScript(places: readonly Place[]): readonly string[] {
  return [
    "# fish completion of handfast",
    ...places.flatMap(({ path, description, options }) => {
      const parent = path.slice(0, -1);
      const [name] = path.slice(-1);
      const at = parent.map((word) => `__fish_seen_subcommand_from ${word}`).join("; and ");
      const condition = at === "" ? "__fish_use_subcommand" : at;
      const here = path.map((word) => `__fish_seen_subcommand_from ${word}`).join("; and ");
      return [
        ...(name === undefined
          ? []
          : [`complete -c handfast -n '${condition}' -a ${name} -d '${quoted(description)}'`]),
        ...options.flatMap(({ long, description: what, argChoices }) => {
          const takes = argChoices === undefined ? "" : ` -x -a '${argChoices.join(" ")}'`;
          const where = here === "" ? "" : ` -n '${here}'`;
          return [
            `complete -c handfast${where} -l ${(long ?? "").slice(2)}${takes} -d '${quoted(what)}'`,
          ];
        }),
      ];
    }),
  ];
}

function flagsOf({ long }: Option): readonly string[] {
  return long === undefined || long === null ? [] : [long];
}

/** Options of one name have the same choices wherever they are, or the first ones are offered. */
function choicesOf(places: readonly Place[]): readonly (readonly [string, readonly string[]])[] {
  const found = new Map<string, readonly string[]>();
  for (const { long, argChoices } of places.flatMap(({ options }) => options)) {
    if (typeof long === "string" && argChoices !== undefined && !found.has(long)) {
      found.set(long, argChoices);
    }
  }
  return [...found];
}

function quoted(text: string): string {
  return text.replaceAll("'", "\\'");
}
