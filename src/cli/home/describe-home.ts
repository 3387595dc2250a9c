// What `graft` without arguments prints: the state of this machine, and the next commands. Pure.

import type { Style } from '../ui/style.ts'
import { formatDescriptions } from '../ui/table.ts'
import type { HomeFacts } from './gather-home.ts'

const shown = 4

/** 'a, b, c, d and 3 more' */
function listNames(names: readonly string[]): string {
  const more = names.length - shown
  const first = names.slice(0, shown).join(', ')
  return more > 0 ? `${first} and ${more} more` : first
}

function describeExperts({ registered, folders }: HomeFacts): string {
  const parts = [
    ...(registered === undefined ? ['the registry cannot be read: graft experts list'] : []),
    ...(registered?.length ? [`registered: ${listNames(registered)}`] : []),
    ...(folders.length > 0 ? [`here: ${listNames(folders)}`] : []),
  ]
  return parts.length > 0 ? parts.join('; ') : 'none yet'
}

interface NextCommand {
  readonly command: string
  readonly about: string
}

/** The most likely next commands, the likeliest first. */
export function chooseNextCommands({ registered, folders, running }: HomeFacts): NextCommand[] {
  const expert = registered?.[0] ?? folders[0]
  const server = running.find(({ command }) => command === 'graft serve')
  if (server)
    return [
      { command: `curl ${server.about}/v1/models`, about: 'lists the models that it serves' },
      ...(folders[0] === undefined
        ? []
        : [
            {
              command: `graft experts add ${folders[0]}`,
              about: 'adds it to the registry by name and version',
            },
          ]),
    ]
  if (expert === undefined)
    return [
      { command: 'graft quickstart', about: 'trains a first expert and shows what it learned' },
      {
        command: 'graft train --data rows.jsonl --out my-expert',
        about: 'trains one on your own rows',
      },
    ]
  return [
    { command: `graft chat --adapter ${expert}`, about: 'talk with it' },
    {
      command: `graft serve --adapter ${expert}`,
      about: "for any OpenAI client, by the expert's name",
    },
  ]
}

/** Lines about this machine and what to do next. */
export function describeHome(facts: HomeFacts, style: Style, columns?: number): string[] {
  const { models, running } = facts
  const rows = [
    ['models', listNames(models)],
    ['experts', describeExperts(facts)],
    ...running.map(({ command, about, pid, since }) => [
      'running',
      `${command} ${about}, process ${pid}, since ${since.slice(0, 16).replace('T', ' ')} UTC`,
    ]),
    ...(running.length === 0 ? [['running', 'nothing']] : []),
  ]
  const next = chooseNextCommands(facts)
  return [
    ...formatDescriptions(
      rows.map(([name = '', text = '']) => [`  ${style.strong(name)}`, text]),
      columns,
    ),
    '',
    'next:',
    ...formatDescriptions(
      next.map(({ command, about }) => [`  ${style.accent(command)}`, about]),
      columns,
    ),
  ]
}
