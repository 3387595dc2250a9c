// graft merge as users type it: adapters of the embedded model, made here, merged into a folder
// that loads and computes.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createAdapter, type Adapter } from '../../src/index.ts'
import {
  loadAdapter,
  loadModel,
  merge,
  saveAdapter,
  type LoadedModel,
} from '../../src/node/index.ts'
import { readExpertMetadata } from '../../src/node/expert/expert-notes.ts'
import { graft, scratchFolder, succeed } from '../support/cli.ts'

const scratch = scratchFolder()
const at = (name: string): string => join(scratch.path, name)
let model: LoadedModel

/** B starts at random, so that the adapter changes something. */
const made = (seed: number, targets: readonly string[]): Promise<Adapter> =>
  createAdapter('lora', { rank: 4, targets, start: 'random' }, model, { seed })

beforeAll(async () => {
  model = await loadModel('stories260k')
  await saveAdapter(await made(1, ['q_proj', 'down_proj']), at('one'))
  await saveAdapter(await made(2, ['q_proj', 'v_proj']), at('two'))
})
afterAll(async () => {
  await model.dispose()
  scratch.remove()
})

describe('graft merge', () => {
  it('keeps the notes that all adapters share, and reports what it leaves out', async () => {
    const notes = { version: 1, base: 'stories260k' }
    for (const [name, system] of [
      ['brief', 'Be brief.'],
      ['long', 'Be long.'],
    ] as const) {
      await saveAdapter({ ...(await made(1, ['q_proj'])), metadata: { name } }, at(name))
      writeFileSync(join(at(name), 'graft.json'), JSON.stringify({ ...notes, system }))
    }
    const run = async (...command: string[]) =>
      JSON.parse((await succeed([...command, '--json'], { cwd: scratch.path })).stdout)
    expect(await run('merge', 'brief', 'long', '--out', 'noted')).toMatchObject({
      dropped: ['system'],
    })
    const noted = (await readExpertMetadata(at('noted')))!
    expect([noted.base, noted.system]).toEqual(['stories260k', undefined])
    expect((await loadAdapter(at('noted'))).metadata).toEqual({ name: 'brief + long' })
    const same = await run('merge', 'brief', 'brief', '--out', 'same')
    expect(same.dropped).toEqual([])
    expect(await readExpertMetadata(at('same'))).toMatchObject({ system: 'Be brief.' })
    const toGguf = ['convert', 'brief', 'brief.gguf', '--model', 'stories260k', '--prompts', '0']
    expect((await run(...toGguf)).dropped).toEqual(['system'])
    const whole = ['merge', 'brief', '--into-base', '--prompts', '0', '--out', 'whole']
    expect((await run(...whole)).dropped).toEqual(['system'])
    const small = await run('compress', 'brief', '--rank', '1', '--out', 'small')
    expect(small.out).toBe('small')
    expect(await readExpertMetadata(at('small'))).toMatchObject({ system: 'Be brief.' })
    expect((await loadAdapter(at('small'))).metadata).toEqual({ name: 'brief' })
  })

  it('writes what merge gives, reports what the rank has lost, and the result is an adapter like any other', async () => {
    const { stdout } = await succeed(
      [
        'merge',
        'one',
        'two',
        '--method',
        'ties',
        '--weights',
        '0.7,0.3',
        '--density',
        '0.5',
        '--rank',
        '3',
        '--out',
        'both',
        '--json',
      ],
      { cwd: scratch.path },
    )
    const report = JSON.parse(stdout)
    expect(report).toMatchObject({
      type: 'adapter',
      out: 'both',
      rank: 3,
      recipe: { method: 'ties', weights: [0.7, 0.3], density: 0.5 },
    })
    expect(report.modules).toHaveLength(15) // three kinds of modules in five layers
    expect(report.residual.worst.residual).toBeGreaterThan(report.residual.mean)
    const expected = await merge([at('one'), at('two')], {
      method: 'ties',
      weights: [0.7, 0.3],
      density: 0.5,
      rank: 3,
    })
    const saved = await loadAdapter(at('both'))
    expect([...saved.tensors]).toEqual([...expected.tensors].sort(([a], [b]) => (a < b ? -1 : 1)))
    const base = await model.logits([[1, 403, 407]])
    const merged = await model.logits([[1, 403, 407]], { adapter: saved })
    expect(merged.data.some((value, i) => Math.abs(value - base.data[i]!) > 0.01)).toBe(true)
    const inspected = await succeed(['inspect', 'both'], { cwd: scratch.path })
    expect(inspected.stdout).toContain('a lora adapter for stories260k')
  }, 60_000)

  it('takes the exact sum where no method is named, and checks it against a base that is', async () => {
    const { stdout } = await succeed(
      ['merge', 'one', 'two', '--weights=-1,0.5', '--model', 'stories260k', '--out', 'sum'],
      {
        cwd: scratch.path,
      },
    )
    expect(stdout).toContain('weighted of 2')
    const expected = await merge([at('one'), at('two')], { method: 'weighted', weights: [-1, 0.5] })
    for (const weights of [
      { one: -1, two: 0.5 },
      { [at('one')]: -1, two: 0.5 },
    ])
      expect(await merge([at('one'), at('two')], { weights })).toEqual(expected)
    const sources = { a: at('one'), b: await loadAdapter(at('two')) }
    expect(await merge(sources, { weights: { a: -1, b: 0.5 } })).toEqual(expected)
    await expect(merge([at('one'), at('two')], { weights: { one: 1, tow: 1 } })).rejects.toThrow(
      'Did you mean "two"?',
    )
    const saved = await loadAdapter(at('sum'))
    expect(new Map(saved.tensors)).toEqual(new Map(expected.tensors))
  }, 60_000)

  it('lists its methods, and help shows their formulas', async () => {
    const help = await succeed(['merge', '--help'])
    expect(help.stdout).toMatch(/weighted +Σ w·ΔW\n/)
    expect(help.stdout).toMatch(/peft-linear +A = Σ/)
    const { stdout } = await succeed(['merge', '--methods', '--json'])
    expect(JSON.parse(stdout).methods.map(({ name }: { name: string }) => name)).toEqual(
      expect.arrayContaining(['average', 'slerp', 'ties', 'peft-linear']),
    )
  }, 60_000)

  it('writes a whole model, from which the adapter can be extracted again', async () => {
    const into = await succeed(
      ['merge', 'one', 'two', '--into-base', '--weights', '1,0.5', '--out', 'full', '--json'],
      {
        cwd: scratch.path,
      },
    )
    const report = JSON.parse(into.stdout)
    expect(report).toMatchObject({
      type: 'model',
      base: 'stories260k',
      out: 'full',
      format: 'safetensors',
      requantised: [],
    })
    expect(report.changed).toHaveLength(15)
    expect(report.distance.largestGap).toBeLessThan(1e-4)
    expect(report.change.meanDivergence).toBeGreaterThan(report.distance.meanDivergence)
    expect(into.stderr).toContain('writing')
    const back = await succeed(
      [
        'extract',
        '--base',
        'stories260k',
        '--tuned',
        'full',
        '--rank',
        '8',
        '--out',
        'back',
        '--json',
      ],
      {
        cwd: scratch.path,
      },
    )
    expect(JSON.parse(back.stdout)).toMatchObject({ type: 'adapter', out: 'back', others: [] })
    const full = await loadModel(at('full'))
    const expected = await full.logits([[1, 403, 407]])
    const got = await model.logits([[1, 403, 407]], { adapter: await loadAdapter(at('back')) })
    await full.dispose()
    expect(
      Math.max(...got.data.map((value, i) => Math.abs(value - expected.data[i]!))),
    ).toBeLessThan(1e-3)
  }, 60_000)

  it.each([
    [['one', 'two', '--into-base', '--dtype', 'q8_0'], 1, 'a model folder takes f32, f16 or bf16'],
    [['one', '--dtype', 'f16'], 2, '--dtype is for --into-base'],
    [['one', 'two', '--method', 'tiez'], 1, 'did you mean "ties"'],
    [['one', 'two', '--method', 'ties', '--density', '1.5'], 2, '--density: got 1.5'],
    [['one', '--method', 'slerp'], 1, 'slerp'],
    [['one', 'missing'], 1, 'missing'],
    [['one', 'two', '--weights', '1,x'], 2, '--weights'],
    [[], 2, 'an argument is missing'],
  ])('refuses %j and writes nothing', async (args, code, text) => {
    const result = await graft(['merge', ...args, '--out', 'refused'], { cwd: scratch.path })
    expect([result.code, result.stderr]).toEqual([code, expect.stringContaining(text)])
    expect(existsSync(at('refused'))).toBe(false)
  })
})
