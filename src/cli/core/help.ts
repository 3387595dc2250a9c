// Help texts, generated from the tables of commands and options.

import { commonOptions, describePlaceholder } from './arguments.ts'
import { type Command, getInvocation, loadOptions, type OptionSpec } from '../command.ts'
import type { Style } from '../ui/style.ts'
import { formatTable } from '../ui/table.ts'

/** The first screen: what is on this machine, where that is known, and what there is to do. */
export function describeProgram(
  commands: readonly Command[],
  version: string,
  style: Style,
  home: readonly string[] = [],
): string {
  const width = Math.max(...commands.map(({ name }) => name.length))
  return [
    `${style.strong('graft')} ${version}: one small local language model, many experts.`,
    '',
    ...(home.length > 0 ? [...home, ''] : []),
    'usage: graft <command> [options]',
    '',
    ...commands.map(({ name, summary }) => `  ${style.accent(name.padEnd(width))}  ${summary}`),
    '',
    'graft <command> --help explains a command, with examples. Every command takes --json.',
    ...(home.length > 0
      ? []
      : [
          `First time here? ${style.accent('graft quickstart')} trains an expert, shows what it learned and swaps it in and out.`,
        ]),
  ].join('\n')
}

/** Everything about one command. */
export async function describeCommand(command: Command, style: Style): Promise<string> {
  const options = await (command.helpOptions?.() ?? loadOptions(command))
  const entries = Object.entries<OptionSpec>({ ...options, ...commonOptions })
  const invocation = getInvocation(command)
  const usage = [invocation, command.usage].filter((part) => part !== '').join(' ')
  return [
    `${style.strong(invocation)}: ${command.summary}`,
    '',
    `usage: ${usage} [options]`,
    '',
    ...describeOptions(entries, style),
    'examples:',
    ...command.examples.flatMap(({ command: line, about }) => [
      `  ${style.faint(`# ${about}`)}`,
      `  ${line}`,
    ]),
    ...((await command.more?.()) ?? []),
  ].join('\n')
}

/** A table of options for each heading; columns line up over all of them. */
function describeOptions(entries: readonly (readonly [string, OptionSpec])[], style: Style) {
  const groups = new Map<string, number[]>([['', []]])
  for (const [i, [, { group = '' }]] of entries.entries())
    groups.set(group, [...(groups.get(group) ?? []), i])
  const lines = formatTable(
    entries.map(([name, spec]) => [
      `  ${style.accent(describeOptionName(name, spec))}`,
      describeOption(spec),
    ]),
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
    ...(usual === undefined ? [] : [`default ${String(usual)}`]),
    ...(required ? ['needed'] : []),
  ]
  return notes.length > 0 ? `${about} (${notes.join('; ')})` : about
}
