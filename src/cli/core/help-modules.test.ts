// What a help text loads: the tables of commands, and nothing that computes.

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { createStyle } from '../ui/style.ts'
import { mergeCommand } from '../commands/merge.ts'
import { serveCommand } from '../commands/serve/serve.ts'
import { trainCommand } from '../commands/train.ts'
import { describeCommand, describeProgram } from './help.ts'
import { measureWidth } from '../ui/table.ts'

const main = fileURLToPath(new URL('../main.ts', import.meta.url))
const recorder = `
  import { registerHooks } from 'node:module'
  const urls = new Set()
  registerHooks({ load: (url, context, next) => (urls.add(url), next(url, context)) })
  process.on('exit', () => console.error(JSON.stringify([...urls])))`

/** Paths below src of the modules that a command line loads. */
function listModules(...args: readonly string[]): string[] {
  const hooks = `data:text/javascript,${encodeURIComponent(recorder)}`
  const { stderr, status } = spawnSync(process.execPath, ['--import', hooks, main, ...args], {
    encoding: 'utf8',
  })
  expect(status).toBe(0)
  const urls = JSON.parse(stderr.trim().split('\n').at(-1)!) as string[]
  return urls.flatMap((url) => /\/(?:src|dist)\/(.*)$/.exec(url)?.[1] ?? [])
}

/** What computes; checks of options and the text of a mixture are no more than words. */
const heavy =
  /^(formats\/text\/(?!day)|adapters\/(?!serving\/(expert-spec|part-weight))|train|learn|eval|graph\/(?!models\/rope)|runtime\/(?!decode))/

describe('the modules that are loaded', () => {
  it.each([
    ['by graft --help', ['--help'], 80],
    ['by graft train --help', ['train', '--help'], 80],
    ['by graft help train', ['help', 'train'], 80],
    ['by graft run -h', ['run', '-h'], 80],
  ] as const)('%s are few', (_, args, most) => {
    const modules = listModules(...args)
    expect(modules.filter((path) => heavy.test(path))).toEqual([])
    expect(modules.length).toBeLessThan(most)
  })
})

it('a help text from the schema is that of the tables of training', async () => {
  const style = createStyle({ isTTY: false, write: () => true } as never, {})
  const { helpOptions, ...fromTables } = trainCommand
  expect(helpOptions).toBeDefined()
  expect(await describeCommand(trainCommand, style)).toBe(await describeCommand(fromTables, style))
})

describe('a help text in a narrow terminal', () => {
  const style = createStyle({ isTTY: false }, {})
  const widest = (text: string): number =>
    Math.max(...text.split('\n').map((line) => measureWidth(line)))

  it('wraps descriptions of options, and leaves examples to be copied', async () => {
    const narrow = await describeCommand(trainCommand, style, 60)
    const [options, examples] = narrow.split('examples:')
    expect(widest(options!)).toBeLessThanOrEqual(60)
    const whole = (await describeCommand(trainCommand, style)).split('examples:')
    expect(examples).toBe(whole[1])
    expect(options!.replaceAll(/\s+/g, ' ')).toBe(whole[0]!.replaceAll(/\s+/g, ' '))
    expect(widest(whole[0]!)).toBeGreaterThan(120)
  })
  it('wraps the list of commands', () => {
    const text = describeProgram([trainCommand], '1.2.3', style, [], 50)
    expect(widest(text)).toBeGreaterThan(40)
    expect(widest(text)).toBeLessThanOrEqual(50)
  })
})

it('writes every default as "default: x", and none for flags that are off', async () => {
  const style = createStyle({ isTTY: false }, {})
  for (const command of [trainCommand, serveCommand, mergeCommand]) {
    const options = (await describeCommand(command, style)).split('examples:')[0]!
    expect(options.split('\n').filter((line) => /[(;] ?default [^:]/.test(line))).toEqual([])
    expect(options).not.toContain('default: false')
    expect(options).toContain('default: ')
  }
})
