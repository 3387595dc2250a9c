// Training speed on SmolLM2-135M's shape: LoRA r16 on all seven linears, 4 × 128 tokens, f32, optimiser included; the same with checkpointing;
// and real rows, packed, with loss on the completion only. Beside it PEFT, run between our two halves.

import { parametersOf } from '../../adapters/index.ts'
import { random } from '../../base/random.ts'
import { f32, type F32Tensor } from '../../base/tensor.ts'
import { createGradientProgram } from '../../train/gradient-program.ts'
import { adamw } from '../../train/optimizers/adamw.ts'
import { takeStep } from '../../train/step.ts'
import type { Batch } from '../../train/batch.ts'
import { nodeBackend } from '../../node/backend.ts'
import { row, type Benchmark, type BenchmarkContext, type BenchmarkRow } from './benchmark.ts'
import { realRows } from './train-real.ts'
import { pythonReference } from './reference.ts'
import { syntheticAdapter, syntheticBase, syntheticWeights } from './synthetic.ts'

const [N, T] = [4, 128]

function randomBatch(vocabulary: number): Batch {
  const { integer } = random(7)
  const ids = Int32Array.from({ length: N * T }, () => integer(vocabulary))
  const scored = Int32Array.from({ length: N * (T - 1) }, (_, i) => Math.floor(i / (T - 1)) * T + (i % (T - 1)))
  return {
    ...{ rows: N, tokens: T, ids, scored },
    positions: ids.map((_, i) => i % T),
    segments: new Int32Array(N * T),
    labels: scored.map((at) => ids[at + 1]!),
    weights: new Float32Array(scored.length).fill(1 / scored.length),
  }
}

/** Milliseconds of each of `steps` whole steps: gradients, clipping off, AdamW. The first two warm up and are left out. */
async function steps(count: number, checkpointing: boolean): Promise<number[]> {
  const base = syntheticBase('f32')
  const adapter = syntheticAdapter(base)
  const trainable = [...parametersOf(base.graph, adapter).keys()]
  const program = await createGradientProgram({
    graph: base.graph,
    weights: await syntheticWeights(base),
    backend: await nodeBackend(),
    adapter,
    trainable,
    checkpointing,
  })
  const state = {
    ...{ step: 0, steps: [], validations: [] },
    parameters: adapter.tensors as Map<string, F32Tensor>,
    optimizer: new Map([...adapter.tensors].map(([key, { shape }]) => [key, { mean: f32(shape), square: f32(shape) }])),
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

async function compared(name: string, checkpointing: boolean, goal: number, context: BenchmarkContext): Promise<BenchmarkRow> {
  context.progress(`${name}: our first half`)
  const first = await steps(4, checkpointing)
  const reference = await pythonReference('peft_train.py', checkpointing ? ['f32', '--checkpointing'] : ['f32'], context)
  context.progress(`${name}: our second half`)
  const all = [...first, ...(await steps(4, checkpointing))]
  const seconds = reference.flatMap(({ stepSeconds }) => stepSeconds as number[])
  return row({
    ...{ name, unit: 'tokens/s', higherIsBetter: true, goal },
    ours: all.map((ms) => (N * T * 1000) / ms),
    reference: { name: 'PEFT f32', values: seconds.map((s) => (N * T) / s) },
    note: `peak ${Math.round(process.resourceUsage().maxRSS / 1024)} MiB${reference[0] ? `, PEFT ${String(reference[0]['peakMiB'])} MiB` : ''}`,
  })
}

export const train: Benchmark = {
  name: 'train',
  summary: 'LoRA r16 on all linears of a 135M model: tokens a second, beside PEFT',
  needs: 'GRAFT_BENCH_PYTHON: a Python with torch, transformers and peft',
  async *run(context) {
    yield await compared('train 4 × 128', false, 1.5, context)
    yield await compared('train 4 × 128, checkpointing', true, 1.8, context)
    yield* realRows(context)
  },
}
