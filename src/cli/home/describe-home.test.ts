// What `graft` without arguments prints in different folders.
import { expect, it } from 'vitest'
import { createStyle } from '../ui/style.ts'
import { chooseNextCommands, describeHome } from './describe-home.ts'
import type { HomeFacts } from './gather-home.ts'

const style = createStyle({ isTTY: false }, {})
const nothing: HomeFacts = { models: ['stories260k'], registered: [], folders: [], running: [] }
const server = {
  pid: 7,
  command: 'graft serve',
  about: 'http://127.0.0.1:7777',
  since: '2026-01-02T03:04:05Z',
}

it('a newcomer is shown the quickstart', () => {
  expect(describeHome(nothing, style)).toEqual([
    '  models   stories260k',
    '  experts  none yet',
    '  running  nothing',
    '',
    'next:',
    '  graft quickstart                               trains a first expert and shows what it learned',
    '  graft train --data rows.jsonl --out my-expert  trains one on your own rows',
  ])
})

it('an expert is offered for talking and serving, a registered one first', () => {
  const commands = (facts: Partial<HomeFacts>): string[] =>
    chooseNextCommands({ ...nothing, ...facts }).map(({ command }) => command)
  expect(commands({ folders: ['cats'] })).toEqual([
    'graft chat --adapter cats',
    'graft serve --adapter cats',
  ])
  expect(commands({ folders: ['cats'], registered: ['coder@1.2.0'] })[0]).toBe(
    'graft chat --adapter coder@1.2.0',
  )
  expect(commands({ running: [server], folders: ['cats'] })).toEqual([
    'curl http://127.0.0.1:7777/v1/models',
    'graft experts add cats',
  ])
})

it('names what runs, and how many experts there are beyond four', () => {
  const registered = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => `${name}@1.0.0`)
  const lines = describeHome({ ...nothing, registered, running: [server] }, style)
  expect(lines[1]).toBe('  experts  registered: a@1.0.0, b@1.0.0, c@1.0.0, d@1.0.0 and 2 more')
  expect(lines[2]).toBe(
    '  running  graft serve http://127.0.0.1:7777, process 7, since 2026-01-02 03:04 UTC',
  )
})

it('reports where to look when the registry cannot be read', () => {
  const lines = describeHome({ ...nothing, registered: undefined }, style)
  expect(lines[1]).toContain('graft experts list')
})
