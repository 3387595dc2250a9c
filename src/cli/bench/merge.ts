// Merges three LoRA adapters of rank 16 on all seven linears of the SmolLM2-135M shape. The
// reference is PEFT, run between the two halves of our runs.

import type { Adapter } from '../../adapters/index.ts'
import { getKind } from '../../adapters/kinds/kind-table.ts'
import { toPeftKey } from '../../adapters/keys.ts'
import { f32, type Tensor } from '../../base/tensor.ts'
import { random } from '../../base/random.ts'
import { merge, type MergeRecipe, type ModuleReport } from '../../merge/index.ts'
import {
  toBenchmarkRow,
  type Benchmark,
  type BenchmarkContext,
  type BenchmarkRow,
} from './benchmark.ts'
import { runPythonReference } from './reference.ts'

const layers = 30
const rank = 16
/** [out, in] */
const shapes: Readonly<Record<string, readonly [number, number]>> = {
  'self_attn.q_proj': [576, 576],
  'self_attn.k_proj': [192, 576],
  'self_attn.v_proj': [192, 576],
  'self_attn.o_proj': [576, 576],
  'mlp.gate_proj': [1536, 576],
  'mlp.up_proj': [1536, 576],
  'mlp.down_proj': [576, 1536],
}

/**
 * A and B as PEFT starts them with init_lora_weights=False, so that both sides merge alike numbers.
 */
function createRandomAdapter(seed: number): Adapter {
  const { uniform } = random(seed)
  const filled = (shape: readonly [number, number], bound: number): Tensor =>
    f32(
      shape,
      Float32Array.from({ length: shape[0] * shape[1] }, () => bound * (2 * uniform() - 1)),
    )
  const tensors = new Map<string, Tensor>()
  for (let layer = 0; layer < layers; layer++) {
    for (const [name, [rows, columns]] of Object.entries(shapes)) {
      const key = toPeftKey(`model.layers.${layer}.${name}`)
      tensors.set(`${key}.lora_A.weight`, filled([rank, columns], 1 / Math.sqrt(columns)))
      tensors.set(`${key}.lora_B.weight`, filled([rows, rank], 1 / Math.sqrt(rank)))
    }
  }
  const targets = Object.keys(shapes).map((name) => name.slice(name.indexOf('.') + 1))
  return {
    kind: 'lora',
    config: getKind('lora').complete({ rank, alpha: rank, targets }),
    tensors,
  }
}

interface Case {
  readonly title: string
  readonly recipe: MergeRecipe
  /** PEFT's combination_type. */
  readonly peft: string
  readonly goal?: number
}

const weights = [1, 0.7, 0.5]
const cases: readonly Case[] = [
  {
    title: 'weighted, SVD to rank 16',
    recipe: { method: 'weighted', weights, rank },
    peft: 'svd',
    goal: 20,
  },
  {
    title: 'ties, SVD to rank 16',
    recipe: { method: 'ties', weights, density: 0.5, rank },
    peft: 'ties_svd',
    goal: 6,
  },
  { title: 'cat', recipe: { method: 'cat', weights }, peft: 'cat', goal: 4 },
  { title: 'peft-linear', recipe: { method: 'peft-linear', weights }, peft: 'linear' },
  { title: 'peft-ties', recipe: { method: 'peft-ties', weights, density: 0.5 }, peft: 'ties' },
]

interface MergeTiming {
  readonly seconds: number
  readonly meanResidual: number
}

function timeMerge(adapters: readonly Adapter[], recipe: MergeRecipe): MergeTiming {
  let sum = 0
  let count = 0
  const onModule = ({ residual }: ModuleReport): void => {
    sum += residual
    count++
  }
  const start = performance.now()
  merge(adapters, { ...recipe, onModule })
  return { seconds: (performance.now() - start) / 1000, meanResidual: sum / count }
}

async function* compareMerges(context: BenchmarkContext): AsyncIterable<BenchmarkRow> {
  const adapters = [1, 2, 3].map(createRandomAdapter)
  const measure = (runs: number): MergeTiming[][] =>
    cases.map(({ title, recipe }) => {
      context.progress(`merge: ${title}`)
      return Array.from({ length: runs }, () => timeMerge(adapters, recipe))
    })
  measure(1) // compiles
  const first = measure(2)
  const reference = await runPythonReference('peft_merge.py', [], context)
  const second = measure(2)
  for (const [i, { title, peft, goal }] of cases.entries()) {
    const ours = [...first[i]!, ...second[i]!]
    const values = reference
      .filter(({ name }) => name === `peft merge ${peft}`)
      .map(({ seconds }) => Number(seconds))
    yield toBenchmarkRow({
      name: `merge: ${title}`,
      unit: 'seconds',
      higherIsBetter: false,
      ...(goal === undefined ? {} : { goal }),
      ours: ours.map(({ seconds }) => seconds),
      reference: { name: `PEFT ${peft}`, values },
      ...(ours[0]!.meanResidual > 0
        ? { note: `mean residual ${ours[0]!.meanResidual.toFixed(4)}` }
        : {}),
    })
  }
}

export const mergeBenchmark: Benchmark = {
  name: 'merge',
  summary:
    'three LoRA adapters (r16, all linears, 135M shape) into one by several methods: seconds, compared with PEFT',
  needs: 'GRAFT_BENCH_PYTHON: a Python with torch, transformers and peft',
  run: compareMerges,
}
