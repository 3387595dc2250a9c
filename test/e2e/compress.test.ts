// graft compress, and distillation from experts, as users type it: the small expert answers as the
// large one, and the cost is reported.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { compareExperts } from '../../src/eval/index.ts'
import { compress } from '../../src/merge/index.ts'
import { loadAdapter, loadModel, type LoadedModel } from '../../src/node/index.ts'
import { encodeData } from '../../src/train/data/encode.ts'
import { createRawDataset } from '../../src/train/data/jsonl.ts'
import { graft, jsonl, scratchFolder, storyRows, succeed } from '../support/cli.ts'

const scratch = scratchFolder()
const at = (name: string): string => join(scratch.path, name)
const run = (...args: string[]) => succeed(args, { cwd: scratch.path })
let model: LoadedModel

beforeAll(async () => {
  model = await loadModel('stories260k')
  writeFileSync(at('rows.jsonl'), jsonl(storyRows))
  await run(
    'train',
    '--data',
    'rows.jsonl',
    '--out',
    'large',
    '--model',
    'stories260k',
    '--steps',
    '20',
    '--learning-rate',
    '5e-3',
  )
}, 60_000)
afterAll(async () => {
  await model.dispose()
  scratch.remove()
})

describe('graft compress', () => {
  it('writes what compress gives, with the residual of every module', async () => {
    const { stdout } = await run('compress', 'large', '--rank', '3', '--out', 'three', '--json')
    const report = JSON.parse(stdout)
    const expected = compress(await loadAdapter(at('large')), { rank: 3 })
    expect(report.modules).toEqual(expected.modules)
    expect(report.residual.whole).toBeCloseTo(expected.residual, 6)
    expect(report).toMatchObject({ compressed: null, healed: null })
    expect(report.sizeBytes.after).toBeLessThan(report.sizeBytes.before / 5)
    const saved = await loadAdapter(at('three'))
    for (const [key, { data }] of expected.adapter.tensors)
      expect(saved.tensors.get(key)!.data).toEqual(data)
  })
  it('measures on rows, and healing brings the predictions back towards those of the large expert', async () => {
    const { stdout } = await run(
      'compress',
      'large',
      '--rank',
      '1',
      '--data',
      'rows.jsonl',
      '--heal',
      '20',
      '--out',
      'one',
      '--json',
    )
    const { compressed, healed } = JSON.parse(stdout)
    expect(compressed.divergence).toBeGreaterThan(0.01)
    expect(healed.divergence).toBeLessThan(0.6 * compressed.divergence)
    const rows = encodeData(createRawDataset(storyRows, 'rows'), {
      tokenizer: model.base.tokenizer!,
      maxTokens: 256,
    }).rows
    const before = await loadAdapter(at('large'))
    const after = await loadAdapter(at('one'))
    const distance = await compareExperts(model, rows, { before, after })
    expect(distance.divergence).toBeCloseTo(healed.divergence, 4)
    expect(distance.lossBefore).toBeCloseTo(compressed.lossBefore, 4)
    const itself = await compareExperts(model, rows, { before, after: before })
    expect(itself.divergence).toBeLessThan(1e-9)
    expect(itself.lossAfter).toBe(itself.lossBefore)
  }, 60_000)
  it.each([
    [['compress', 'large', '--out', 'x'], 2, 'give --rank or --energy'],
    [['compress', 'large', '--rank', '2', '--heal', '3', '--out', 'x'], 2, '--heal needs rows'],
    [['compress', 'large', '--energy', '2', '--out', 'x'], 1, 'energy: got 2'],
    [['compress', 'large', '--rank', '2', '--out', 'large'], 1, 'exists already'],
    [['compress', 'nowhere', '--rank', '2', '--out', 'x'], 1, 'nowhere'],
  ])('refuses %j, and writes nothing', async (args, code, message) => {
    const result = await graft(args, { cwd: scratch.path })
    expect([result.code, result.stderr]).toEqual([code, expect.stringContaining(message)])
    expect(existsSync(at('x'))).toBe(false)
  })
})

describe('graft train', () => {
  it('imitates an expert or a mixture that --teacher names, and wants one', async () => {
    const options = [
      '--data',
      'rows.jsonl',
      '--model',
      'stories260k',
      '--rank',
      '2',
      '--steps',
      '10',
      '--learning-rate',
      '5e-3',
      '--json',
    ]
    const { stdout } = await run(
      'train',
      ...options,
      '--out',
      'student',
      '--teacher',
      'large',
      '--temperature',
      '2',
    )
    const alone = JSON.parse(stdout)
    expect(alone.last.loss).toBeLessThan(0.6 * alone.firstLoss)
    const mixed = await run(
      'train',
      ...options,
      '--out',
      'mixed',
      '--teacher',
      'large=0.5',
      '--teacher',
      'student=0.5',
      '--overwrite',
    )
    expect(JSON.parse(mixed.stdout).reason).toBe('finished')
    const missing = await graft(['train', ...options, '--out', 'x', '--loss', 'distillation'], {
      cwd: scratch.path,
    })
    expect([missing.code, missing.stderr + missing.stdout]).toEqual([
      1,
      expect.stringContaining('needs a teacher'),
    ])
    expect(existsSync(at('x'))).toBe(false)
  }, 90_000)
  it('learns preferences, from a manifest too', async () => {
    const pairs = storyRows.map(({ prompt, completion }) => ({
      prompt,
      chosen: completion,
      rejected: ' Then it was over.',
    }))
    writeFileSync(at('pairs.jsonl'), jsonl(pairs))
    writeFileSync(
      at('taste.yaml'),
      'base: stories260k\ndata:\n  files: pairs.jsonl\n  validation: 0.25\nloss:\n  name: dpo\n  beta: 0.2\nschedule:\n  steps: 8\n',
    )
    const report = JSON.parse((await run('train', 'taste.yaml', '--json')).stdout)
    expect(report.firstLoss).toBeCloseTo(Math.LN2, 3)
    expect(report.best.loss).toBeLessThan(Math.LN2)
    const wrong = await graft(
      ['train', '--data', 'pairs.jsonl', '--model', 'stories260k', '--out', 'y'],
      { cwd: scratch.path },
    )
    expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringContaining('Take the loss "dpo"')])
  }, 90_000)
})
