// Times training on the shape of SmolLM2-135M: LoRA r16 on all seven linears, 4 × 128 tokens, f32,
// optimiser included; the same with checkpointing, and with DoRA; training over vectors; and real
// rows, packed, with loss on the completion only. The reference is PEFT, run between the two halves
// of our runs.

import { createStandalone } from '../../adapters/index.ts'
import { listParameterSpecs } from '../../adapters/adapter.ts'
import { random } from '../../base/random.ts'
import { f32, type F32Tensor } from '../../base/tensor.ts'
import { createGradientProgram } from '../../train/programs/gradient-program.ts'
import { adamw } from '../../train/optimizers/adamw.ts'
import { takeStep } from '../../train/run/step.ts'
import { SyntheticDataGenerator, trainStandalone } from '../../train/index.ts'
import type { Batch } from '../../train/batches/batch.ts'
import { createNodeBackend } from '../../node/backend.ts'
import {
  toBenchmarkRow,
  type Benchmark,
  type BenchmarkContext,
  type BenchmarkRow,
} from './benchmark.ts'
import { measureRealData } from './train-real.ts'
import { runPythonReference } from './reference.ts'
import { createSyntheticAdapter, createSyntheticBase, readSyntheticWeights } from './synthetic.ts'

const N = 4
const T = 128

function createRandomBatch(vocabulary: number): Batch {
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
async function measureSteps(count: number, { kind, checkpointing }: Variant): Promise<number[]> {
  const base = createSyntheticBase('f32')
  const weights = await readSyntheticWeights(base)
  const adapter = createSyntheticAdapter(base, kind, weights)
  const trainable = [...listParameterSpecs(base.graph, adapter).keys()]
  const program = await createGradientProgram({
    graph: base.graph,
    weights,
    backend: await createNodeBackend(),
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
  const batch = createRandomBatch(base.config.vocabularySize)
  const times: number[] = []
  for (let i = 0; i < count + 2; i++) {
    const started = performance.now()
    await takeStep([batch], state, program, rule, { learningRate: 2e-4, seed: 0 })
    times.push(performance.now() - started)
  }
  await program.dispose()
  return times.slice(2)
}

async function compareTraining(
  name: string,
  variant: Variant,
  goal: number,
  context: BenchmarkContext,
): Promise<BenchmarkRow> {
  context.progress(`${name}: our first half`)
  const first = await measureSteps(4, variant)
  const flags = [
    ...(variant.checkpointing ? ['--checkpointing'] : []),
    ...(variant.kind === 'dora' ? ['--dora'] : []),
  ]
  const reference = await runPythonReference('peft_train.py', ['f32', ...flags], context)
  context.progress(`${name}: our second half`)
  const all = [...first, ...(await measureSteps(4, variant))]
  const seconds = reference.flatMap(({ stepSeconds }) => stepSeconds as number[])
  return toBenchmarkRow({
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
async function measureVectorTraining(): Promise<BenchmarkRow> {
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
  return toBenchmarkRow({
    name,
    unit: 'seconds',
    higherIsBetter: false,
    ours: times.slice(1),
    note: `aim 0.1; the first run of a process ${times[0]!.toFixed(3)}`,
  })
}

export const trainBenchmark: Benchmark = {
  name: 'train',
  summary: 'LoRA r16 on all linears of a 135M model: tokens per second, compared with PEFT',
  needs: 'GRAFT_BENCH_PYTHON: a Python with torch, transformers and peft',
  async *run(context) {
    yield await compareTraining(
      'train 4 × 128',
      { kind: 'lora', checkpointing: false },
      2.1,
      context,
    )
    yield await compareTraining(
      'train 4 × 128, checkpointing',
      { kind: 'lora', checkpointing: true },
      2.3,
      context,
    )
    yield await compareTraining(
      'train 4 × 128, DoRA',
      { kind: 'dora', checkpointing: false },
      1.8,
      context,
    )
    yield await measureVectorTraining()
    yield* measureRealData(context)
  },
}
