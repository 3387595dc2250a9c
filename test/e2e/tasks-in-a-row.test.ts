// A second task on the expert of the first, as users type it: protected or not, from a manifest or
// from options.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { graft, jsonl, scratchFolder, succeed } from '../support/cli.ts'

const scratch = scratchFolder()
const at = (name: string): string => join(scratch.path, name)
const run = (...args: string[]) => succeed(args, { cwd: scratch.path })
const rows = (ending: string): object[] =>
  ['Lily', 'Tom', 'Sue', 'Ben'].map((name) => ({
    prompt: `${name}${ending.split('|')[0]!}`,
    completion: ending.split('|')[1]!,
  }))

beforeAll(async () => {
  writeFileSync(at('first.jsonl'), jsonl(rows(' has| a red ball and a blue car.')))
  writeFileSync(at('second.jsonl'), jsonl(rows(' went| up to the sky with nine old dogs.')))
  writeFileSync(
    at('second.yaml'),
    'base: stories260k\nfrom: one\ndata: { files: second.jsonl }\nschedule: { name: cosine, steps: 25, learningRate: 5e-3 }\newc: { lambda: 0.1 }\nout: two-kept\n',
  )
  await run(
    'train',
    '--data',
    'first.jsonl',
    '--out',
    'one',
    '--model',
    'stories260k',
    '--steps',
    '25',
    '--learning-rate',
    '5e-3',
    '--rank',
    '4',
    '--ewc',
    '0.1',
  )
})

const lossOnFirst = async (folder: string): Promise<number> => {
  const result = await run(
    'eval',
    '--data',
    'first.jsonl',
    '--adapter',
    folder,
    '--model',
    'stories260k',
    '--metrics',
    'perplexity',
    '--json',
  )
  return (JSON.parse(result.stdout) as { loss: number }).loss
}

describe('tasks in a row', () => {
  it('forget less with --ewc, from a manifest too', async () => {
    expect(existsSync(at('one/ewc.safetensors'))).toBe(true)
    const plain = [
      '--data',
      'second.jsonl',
      '--out',
      'two',
      '--from',
      'one',
      '--model',
      'stories260k',
      '--steps',
      '25',
      '--learning-rate',
      '5e-3',
    ]
    await run('train', ...plain)
    const said = await run('train', 'second.yaml')
    expect(said.stderr + said.stdout).toContain('2 tasks protected')
    expect(said.stderr + said.stdout).toContain('protecting 1 earlier task')
    expect(existsSync(at('two/ewc.safetensors'))).toBe(false)
    expect(existsSync(at('two-kept/ewc.safetensors'))).toBe(true)
    expect(await lossOnFirst('two-kept')).toBeLessThan((await lossOnFirst('two')) - 0.1)
  })

  it('are refused where the start does not fit, before anything is written', async () => {
    const asked = await graft(
      [
        'train',
        '--data',
        'second.jsonl',
        '--out',
        'three',
        '--from',
        'one',
        '--rank',
        '8',
        '--model',
        'stories260k',
      ],
      { cwd: scratch.path },
    )
    expect(asked.code).not.toBe(0)
    expect(asked.stderr).toContain('keeps its rank')
    const missing = await graft(
      [
        'train',
        '--data',
        'second.jsonl',
        '--out',
        'three',
        '--from',
        'nowhere',
        '--model',
        'stories260k',
      ],
      { cwd: scratch.path },
    )
    expect(missing.code).not.toBe(0)
    expect(existsSync(at('three'))).toBe(false)
  })
})
