// Every kind of run ends with equal bytes as 1, 2 and 4 processes; four that are killed resume as
// another number of processes, and end with the same bytes.

import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { jsonl, scratchFolder, storyRows, succeed } from '../support/cli.ts'
import { root } from '../support/sources.ts'

const scratch = scratchFolder()
afterAll(() => scratch.remove())
const at = (...parts: string[]): string => join(scratch.path, ...parts)
const main = join(root, 'src', 'cli', 'main.ts')

const shape = ['--rank', '2', '--targets', 'q_proj']
const common = [
  ...['train', '--model', 'stories260k', '--threads', '1'],
  ...['--batch-rows', '1', '--batch-tokens', '64', '--accumulation', '4', '--shards', '4'],
  ...['--steps', '24', '--save-every', '2', '--validation', '0.2', '--validate-every', '3'],
]
const data = ['--data', at('rows.jsonl')]
const rows = [...data, ...shape]
const cases: [string, readonly string[]][] = [
  ['cross-entropy with dropout', [...rows, '--dropout', '0.1']],
  ['DoRA', [...rows, '--kind', 'dora']],
  ['DPO', [...shape, '--data', at('pairs.jsonl'), '--loss', 'dpo']],
  ['a teacher', [...rows, '--teacher', at('teacher')]],
  ['EWC', [...data, '--from', at('teacher'), '--ewc', '0.03']],
]

beforeAll(async () => {
  writeFileSync(at('rows.jsonl'), jsonl(storyRows.slice(0, 24)))
  const animals = ['cat', 'dog', 'bird', 'fish', 'frog', 'bear', 'duck', 'fox', 'owl', 'ant']
  const pairs = animals.map((animal) => ({
    prompt: `Tell me about the ${animal}.`,
    chosen: ` The ${animal} was happy.`,
    rejected: ' No.',
  }))
  writeFileSync(at('pairs.jsonl'), jsonl(pairs))
  await succeed([...common, ...rows, '--ewc', '0.03', '--out', at('teacher')])
}, 120_000)

const hashFile = (out: string): string =>
  createHash('sha256')
    .update(readFileSync(at(out, 'adapter_model.safetensors')))
    .digest('hex')

/**
 * Kills the whole group, the command and its four replicas, from step 3 on; the step it saw last.
 */
function killFour(args: readonly string[]): Promise<number> {
  const child = spawn(process.execPath, [main, ...args, '--replicas', '4', '--events'], {
    cwd: root,
    detached: true,
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  let text = ''
  let last = 0
  child.stdout.on('data', (part: Buffer) => {
    text += part.toString()
    last = Number([...text.matchAll(/"type":"step-end","step":(\d+)/g)].at(-1)?.[1] ?? 0)
    if (last >= 3) process.kill(-child.pid!, 'SIGKILL')
  })
  return new Promise((resolve) => child.on('close', () => resolve(last)))
}

describe('1, 2 and 4 processes', { timeout: 600_000 }, () => {
  it.each(cases)(
    '%s: equal bytes, also killed and resumed as another number',
    async (name, more) => {
      const train = (out: string, ...extra: string[]) =>
        succeed([...common, ...more, '--out', at(`${name} ${out}`), ...extra])
      await train('1')
      for (const count of ['2', '4']) await train(count, '--replicas', count)
      const last = await killFour([...common, ...more, '--out', at(`${name} killed`)])
      expect(last).toBeGreaterThan(2)
      await train('killed', '--replicas', '2', '--resume')
      const hashes = ['1', '2', '4', 'killed'].map((out) => hashFile(`${name} ${out}`))
      expect(new Set(hashes).size).toBe(1)
    },
  )
})
