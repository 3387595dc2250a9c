// Training speed on SmolLM2-135M's shape: LoRA r16 on all seven linears, 4 × 128 tokens, f32,
// optimiser included; the same with checkpointing, and with DoRA; the trainer of adapters over
// vectors; and real rows, packed, with loss on the completion only. Beside it PEFT, run between our
// two halves.

import { createStandalone, parametersOf } from '../../adapters/index.ts'
import { random } from '../../base/random.ts'
import { f32, type F32Tensor } from '../../base/tensor.ts'
import { createGradientProgram } from '../../train/programs/gradient-program.ts'
import { adamw } from '../../train/optimizers/adamw.ts'
import { takeStep } from '../../train/run/step.ts'
import { SyntheticDataGenerator, trainStandalone } from '../../train/index.ts'
import type { Batch } from '../../train/batch.ts'
import { nodeBackend } from '../../node/backend.ts'
import { row, type Benchmark, type BenchmarkContext, type BenchmarkRow } from './benchmark.ts'
import { realRows } from './train-real.ts'
import { pythonReference } from './reference.ts'
import { syntheticAdapter, syntheticBase, syntheticWeights } from './synthetic.ts'

const N = 4
const T = 128

function randomBatch(vocabulary: number): Batch {
  const { integer } = random(7)
  const ids = Int32Array.from({ length: N * T }, () => integer(vocabulary))
  const scored = Int32Array.from(
    { length: N * (T - 1) },
    (_, i) => Math.floor(i / (T - 1)) * T + (i % (T - 1)),
  )
  return {
    rows: N,
    tokens: T,
    ids,
    scored,
    positions: ids.map((_, i) => i % T),
    segments: new Int32Array(N * T),
    labels: scored.map((at) => ids[at + 1]!),
    weights: new Float32Array(scored.length).fill(1 / scored.length),
  }
}

interface Variant {
  readonly kind: 'lora' | 'dora'
  readonly checkpointing: boolean
}

/**
 * Milliseconds of each of `steps` whole steps: gradients, clipping off, AdamW. The first two warm
 * up and are left out.
 */
async function steps(count: number, { kind, checkpointing }: Variant): Promise<number[]> {
  const base = syntheticBase('f32')
  const weights = await syntheticWeights(base)
  const adapter = syntheticAdapter(base, kind, weights)
  const trainable = [...parametersOf(base.graph, adapter).keys()]
  const program = await createGradientProgram({
    graph: base.graph,
    weights,
    backend: await nodeBackend(),
    adapter,
    trainable,
    checkpointing,
  })
  const state = {
    step: 0,
    steps: [],
    validations: [],
    parameters: adapter.tensors as Map<string, F32Tensor>,
    optimizer: new Map(
      [...adapter.tensors].map(([key, { shape }]) => [
        key,
        { mean: f32(shape), square: f32(shape) },
      ]),
    ),
  }
  const rule = { optimizer: adamw, settings: adamw.complete({}), clip: 0, rateOf: () => 1 }
  const batch = randomBatch(base.config.vocabularySize)
  const times: number[] = []
  for (let i = 0; i < count + 2; i++) {
    const started = performance.now()
    await takeStep([batch], state, program, rule, { learningRate: 2e-4, seed: 0 })
    times.push(performance.now() - started)
  }
  await program.dispose()
  return times.slice(2)
}

async function compared(
  name: string,
  variant: Variant,
  goal: number,
  context: BenchmarkContext,
): Promise<BenchmarkRow> {
  context.progress(`${name}: our first half`)
  const first = await steps(4, variant)
  const flags = [
    ...(variant.checkpointing ? ['--checkpointing'] : []),
    ...(variant.kind === 'dora' ? ['--dora'] : []),
  ]
  const reference = await pythonReference('peft_train.py', ['f32', ...flags], context)
  context.progress(`${name}: our second half`)
  const all = [...first, ...(await steps(4, variant))]
  const seconds = reference.flatMap(({ stepSeconds }) => stepSeconds as number[])
  return row({
    name,
    unit: 'tokens/s',
    higherIsBetter: true,
    goal,
    ours: all.map((ms) => (N * T * 1000) / ms),
    reference: { name: 'PEFT f32', values: seconds.map((s) => (N * T) / s) },
    note: `peak ${Math.round(process.resourceUsage().maxRSS / 1024)} MiB${reference[0] ? `, PEFT ${String(reference[0]['peakMiB'])} MiB` : ''}`,
  })
}

/**
 * Adapters over vectors: 1,000 examples of width 768, one epoch, rank 16, each run with a fresh
 * adapter. The first run compiles and is left out.
 */
async function overVectors(): Promise<BenchmarkRow> {
  const data = new SyntheticDataGenerator(768, 1).generate('coder', 1000)
  const times: number[] = []
  for (let i = 0; i < 8; i++) {
    const adapter = createStandalone(
      'lora',
      { rank: 16, targets: ['q_proj'] },
      { width: 768, seed: i },
    )
    const started = performance.now()
    for await (const _ of trainStandalone({ adapter, data, preset: 'quick' }));
    times.push((performance.now() - started) / 1000)
  }
  const name = 'adapter over vectors, 1,000 × 768, rank 16, one epoch'
  return row({
    name,
    unit: 'seconds',
    higherIsBetter: false,
    ours: times.slice(1),
    note: `aim 0.1; the first run of a process ${times[0]!.toFixed(3)}`,
  })
}

export const train: Benchmark = {
  name: 'train',
  summary: 'LoRA r16 on all linears of a 135M model: tokens a second, beside PEFT',
  needs: 'GRAFT_BENCH_PYTHON: a Python with torch, transformers and peft',
  async *run(context) {
    yield await compared('train 4 × 128', { kind: 'lora', checkpointing: false }, 2.1, context)
    yield await compared(
      'train 4 × 128, checkpointing',
      { kind: 'lora', checkpointing: true },
      2.3,
      context,
    )
    yield await compared(
      'train 4 × 128, DoRA',
      { kind: 'dora', checkpointing: false },
      1.8,
      context,
    )
    yield await overVectors()
    yield* realRows(context)
  },
}
