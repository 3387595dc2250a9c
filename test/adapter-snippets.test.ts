// The snippets of ruvllm's pages on task-specific adapters (A) and on two tiers of LoRA (B), ported:
// they run, do what the pages say, and docs/micro-migration.md has their lengths.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  configureAdapter,
  createFromRecipe,
  createRole,
  createStandaloneForward,
  createStandaloneModel,
  HotSwap,
} from '../src/adapters/index.ts'
import { microCases } from '../src/cli/bench/micro-cases.ts'
import { toMicroLora } from '../src/learn/index.ts'
import { merge } from '../src/merge/index.ts'
import { HeadRows, MicroLora } from '../src/micro/index.ts'
import { loadAdapter, saveAdapter } from '../src/node/adapters.ts'
import { SyntheticDataGenerator, trainStandalone } from '../src/train/index.ts'
import { scratchFolder } from './support/cli.ts'
import { countBlocks, countPorts, readLineTable } from './support/snippets.ts'
import { root } from './support/sources.ts'

const width = 64
const drawVector = (seed: number, length = width): Float32Array =>
  Float32Array.from({ length }, (_, i) => Math.sin(seed + 1.7 * i) / 10)
const input = drawVector(1)
const coder = createRole('coder', width)
const security = createRole('security', width)

describe('snippets of the page on task-specific adapters', () => {
  it('A1: an adapter of a role', () => {
    const adapter = createRole('coder', width)
    const lora = toMicroLora(adapter)
    // holds
    expect(lora.config.rank).toBe(16)
    expect(Object.keys(lora.config.modules)).toHaveLength(4)
  })
  it('A2: training on synthetic examples', async () => {
    const data = new SyntheticDataGenerator(width, 42).generate('coder', 200)
    const run = trainStandalone({ adapter: createRole('coder', width), data, preset: 'quick' })
    const { adapter } = await run.done
    // holds
    expect([...adapter.tensors.keys()]).toEqual([...coder.tensors.keys()])
  })
  it('A3: merging', () => {
    const average = merge([coder, security])
    const weights = { coder: 0.7, security: 0.3 }
    const weighted = merge({ coder, security }, { weights })
    // holds
    expect([average.kind, weighted.kind]).toEqual(['lora', 'lora'])
  })
  it('A4: hot swap', async () => {
    const manager = new HotSwap(coder)
    await manager.prepare(security)
    await manager.swap()
    // holds
    expect(manager.active).toBe(security)
  })
  it('A5: a configuration of one’s own', async () => {
    const custom = configureAdapter('my_adapter')
      .rank(12)
      .alpha(24)
      .dropout(0.1)
      .targets(['q_proj', 'v_proj'])
      .description('Custom adapter')
      .tag('specialized')
      .build()
    // holds
    const adapter = await createFromRecipe(custom, createStandaloneModel(width))
    expect(adapter.config).toMatchObject({ rank: 12, alpha: 24, dropout: 0.1 })
  })
  it('A6: a registry', async () => {
    const scratch = scratchFolder()
    await saveAdapter(coder, join(scratch.path, 'coder'))
    const handle = await loadAdapter(join(scratch.path, 'coder'))
    // holds
    expect(handle.metadata).toMatchObject(coder.metadata!)
    scratch.remove()
  })
  it('A7: quick start', async () => {
    const data = new SyntheticDataGenerator(width, 42).generate('coder', 200)
    const run = trainStandalone({ adapter: createRole('coder', width), data, preset: 'quick' })
    const { adapter } = await run.done
    const [module] = adapter.tensors.keys()
    const output = createStandaloneForward(adapter, width)(input)
    // holds
    expect([output.length, module!.includes('q_proj')]).toEqual([width, true])
    expect(output).not.toEqual(input)
  })
  it('A8: several tasks in one', () => {
    const [first, second] = ['coder', 'security'].map((role) => createRole(role, width))
    const weights = { coder: 0.7, security: 0.3 }
    const multiTask = merge({ coder: first!, security: second! }, { weights })
    // holds
    expect(createStandaloneForward(multiTask, width)(input)).toHaveLength(width)
  })
  it('A9: adaptation at run time', async () => {
    const manager = new HotSwap(createStandaloneForward(coder, width))
    const before = await manager.run((forward) => forward(input))
    await manager.prepare(createStandaloneForward(security, width))
    await manager.swap()
    // holds
    expect(before).toHaveLength(width)
  })
})

describe('snippets of the page on two tiers', () => {
  it('B1: the base tier', () => {
    const base = new MicroLora({ inFeatures: width, outFeatures: width, rank: 8, momentum: 0.9 })
    base.adapt(input, { gradient: drawVector(3) })
    base.applyUpdates(0.01)
    const deltaW = base.mergeInto(new Float32Array(width * width))
    // holds
    expect(Math.hypot(...deltaW)).toBeGreaterThan(0)
  })
  it('B2: the micro tier', () => {
    const weights = new Float32Array(width * width)
    const micro = new MicroLora({ inFeatures: width, outFeatures: width, rank: 1, momentum: 0.9 })
    micro.explore(input)
    micro.adapt(input, { explored: true, quality: 0.9 })
    micro.applyUpdates(0.01)
    micro.mergeInto(weights, { output: weights })
    micro.reset()
    // holds
    expect(Math.hypot(...weights)).toBeGreaterThan(0)
    expect(Math.hypot(...micro.forward(input))).toBe(0)
  })
  it('B3: the forward pass in SIMD', () => {
    const lora = toMicroLora(coder)
    const output = drawVector(4) // of the base layer: x·W
    lora.forwardAdd(input, output, Object.keys(lora.config.modules)[0])
    // holds
    expect(lora.kernels).not.toBe('plain')
    expect(output).toEqual(drawVector(4)) // a new role adds nothing
  })
  it('B4: a learning signal', () => {
    const lora = new MicroLora({ inFeatures: width, outFeatures: width, targetLatencyUs: 1000 })
    lora.explore(input)
    lora.adapt(input, { explored: true, quality: 0.9, latencyUs: 1500, sessionId: '' })
    lora.applyUpdates(0.001)
    // holds
    expect(lora.statistics().baseline).toBeCloseTo(0.9 * 0.5 + 0.1 * 0.45)
  })
  it('B5: target layers', () => {
    const ultraFast = new MicroLora({ targets: 'lm_head' })
    const attention = new MicroLora({ targets: 'attention' })
    const queryAndValue = new MicroLora({ targets: 'defaults' })
    // holds
    const counts = [ultraFast, attention, queryAndValue].map(
      ({ config }) => Object.keys(config.modules).length,
    )
    expect(counts).toEqual([1, 4, 2])
  })
  it('B6: four bits in a file', async () => {
    const scratch = scratchFolder()
    await saveAdapter(coder, join(scratch.path, 'int4'), { dtype: 'int4' })
    const lora = toMicroLora(await loadAdapter(join(scratch.path, 'int4')))
    // holds
    expect(lora.config.rank).toBe(16)
    scratch.remove()
  })
  it('B7: a router', () => {
    const square = { inFeatures: width, outFeatures: width }
    const hidden = new MicroLora({ inFeatures: width, outFeatures: width, rank: 8 })
    const gate = new MicroLora({ inFeatures: width, outFeatures: width, rank: 2 })
    const heads = new MicroLora({
      modules: { model: square, tokens: { inFeatures: width, outFeatures: 5 } },
      rank: 4,
    })
    const output = { hidden: drawVector(5), gate: drawVector(6), tokens: drawVector(7, 5) }
    hidden.forwardAdd(output.hidden, output.hidden)
    gate.forwardAdd(output.gate, output.gate)
    heads.forwardAdd(output.hidden, output.tokens, 'tokens')
    // holds
    expect(output.tokens).toEqual(drawVector(7, 5))
  })
  it('B8: checkpoints', async () => {
    const lora = new MicroLora({ inFeatures: width, outFeatures: width, momentum: 0.9 })
    const bytes = lora.toSafetensors()
    const restored = await MicroLora.fromSafetensors(bytes)
    // holds
    expect(restored.toJSON()).toEqual(lora.toJSON())
  })
  it('B9: benchmarks', () => {
    for (const { make } of microCases) make()(0)
    // holds
    expect(microCases.map(({ goalUs }) => goalUs).every((goal) => goal <= 50)).toBe(true)
    expect(HeadRows).toBeTypeOf('function')
  })
})

describe('docs/micro-migration.md', () => {
  const page = readFileSync(join(root, 'docs/micro-migration.md'), 'utf8')
  const ports = countPorts(readFileSync(join(root, 'test/adapter-snippets.test.ts'), 'utf8'))
  const table = new Map([...readLineTable(page)].filter(([id]) => !id.startsWith('E')))
  it('has the lines of each port', () => {
    expect([...table].map(([id, [, here]]) => [id, here])).toEqual([...ports])
  })
  it('has the lines of each snippet', ({ skip }) => {
    const names = ['a-task-specific-adapters.txt', 'b-lora-ultra.txt']
    const paths = names.map((name) => join('/work/shared/seeds', name))
    if (!paths.every((path) => existsSync(path))) skip('the pages of ruvllm are not here')
    const blocks = paths.flatMap((path) => countBlocks(readFileSync(path, 'utf8'), ['rust']))
    expect([...table.values()].map(([there]) => there)).toEqual(blocks)
  })
})
