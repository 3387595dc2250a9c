// Help texts, generated from the tables of commands and options.

import { commonOptions, describePlaceholder } from './arguments.ts'
import { type Command, getInvocation, loadOptions, type OptionSpec } from '../command.ts'
import type { Style } from '../ui/style.ts'
import { formatDescriptions, wrapText } from '../ui/table.ts'

const wrapLine = (columns: number | undefined, text: string): string[] =>
  columns === undefined ? [text] : wrapText(text, columns)

/** The first screen: the state of this machine, if it is known, and the commands. */
export function describeProgram(
  commands: readonly Command[],
  version: string,
  style: Style,
  home: readonly string[] = [],
  columns?: number,
): string {
  return [
    ...wrapLine(
      columns,
      `${style.strong('graft')} ${version}: one small local language model, many experts.`,
    ),
    '',
    ...(home.length > 0 ? [...home, ''] : []),
    'usage: graft <command> [options]',
    '',
    ...formatDescriptions(
      commands.map(({ name, summary }) => [`  ${style.accent(name)}`, summary]),
      columns,
    ),
    '',
    ...wrapLine(
      columns,
      'graft <command> --help explains a command, with examples. Every command takes --json.',
    ),
    ...(home.length > 0
      ? []
      : wrapLine(
          columns,
          `First time here? ${style.accent('graft quickstart')} trains an expert, shows what it learned and swaps it in and out.`,
        )),
  ].join('\n')
}

/** Everything about one command; descriptions are wrapped to `columns` where they are given. */
export async function describeCommand(
  command: Command,
  style: Style,
  columns?: number,
): Promise<string> {
  const options = await (command.helpOptions?.() ?? loadOptions(command))
  const entries = Object.entries<OptionSpec>({ ...options, ...commonOptions })
  const invocation = getInvocation(command)
  const usage = [invocation, command.usage].filter((part) => part !== '').join(' ')
  return [
    ...wrapLine(columns, `${style.strong(invocation)}: ${command.summary}`),
    '',
    `usage: ${usage} [options]`,
    '',
    ...describeOptions(entries, style, columns),
    'examples:',
    ...command.examples.flatMap(({ command: line, about }) => [
      `  ${style.faint(`# ${about}`)}`,
      `  ${line}`,
    ]),
    ...((await command.more?.()) ?? []),
  ].join('\n')
}

/** A table of options for each heading; columns line up over all of them. */
function describeOptions(
  entries: readonly (readonly [string, OptionSpec])[],
  style: Style,
  columns: number | undefined,
) {
  const groups = new Map<string, number[]>([['', []]])
  for (const [i, [, { group = '' }]] of entries.entries())
    groups.set(group, [...(groups.get(group) ?? []), i])
  const lines = formatDescriptions(
    entries.map(([name, spec]) => [
      `  ${style.accent(describeOptionName(name, spec))}`,
      describeOption(spec),
    ]),
    columns,
  )
  return [...groups].flatMap(([group, places]) => [
    group === '' ? 'options:' : `options of ${group}:`,
    ...places.map((i) => lines[i]!),
    '',
  ])
}

const describeOptionName = (name: string, spec: OptionSpec): string =>
  `${spec.short ? `-${spec.short}, ` : ''}--${name}${describePlaceholder(spec)}`

function describeOption({ about = '', schema, default: usual, required }: OptionSpec): string {
  const choices = schema['enum'] as readonly string[] | undefined
  const notes = [
    ...(choices ? [choices.join(' | ')] : []),
    ...(usual === undefined || usual === false ? [] : [`default: ${String(usual)}`]),
    ...(required ? ['needed'] : []),
  ]
  return notes.length > 0 ? `${about} (${notes.join('; ')})` : about
}
