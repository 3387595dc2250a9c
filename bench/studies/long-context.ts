// Contexts longer than a model was trained on: the loss by place in a long text, without scaling
// and with each scaling of rotary positions that takes only a factor.

import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { joinFloats } from '../../src/base/concat.ts'
import { UnsupportedError } from '../../src/base/errors.ts'
import { f32 } from '../../src/base/tensor.ts'
import {
  type Benchmark,
  type BenchmarkContext,
  type BenchmarkRow,
  toBenchmarkRow,
} from '../../src/cli/bench/benchmark.ts'
import type { RopeScalingOptions } from '../../src/graph/models/rope-scaling.ts'
import { type LoadedModel, loadModel } from '../../src/node/index.ts'
import { computeCrossEntropy } from '../../src/runtime/scoring.ts'

const defaultText = fileURLToPath(
  new URL('../../examples/data/tinyshakespeare/train.txt', import.meta.url),
)

/** The scalings by name. 'none' has plain angles at every place of the long context. */
const listScalings = (factor: number, trained: number): ReadonlyMap<string, RopeScalingOptions> =>
  new Map([
    ['none', { type: 'linear', factor: 1, originalContext: factor * trained }],
    ['linear', { type: 'linear', factor }],
    ['dynamic', { type: 'dynamic', factor }],
    ['yarn', { type: 'yarn', factor }],
  ])

/** Parts of a text, each of a whole long context. */
function cutWindows(
  { base }: LoadedModel,
  text: string,
  tokens: number,
  count: number,
): number[][] {
  if (!base.tokenizer) throw new UnsupportedError(`Model "${base.name}" has no tokenizer.`)
  const ids = base.tokenizer.encode(text)
  const found = Math.min(count, Math.floor(ids.length / tokens))
  if (found < 1)
    throw new UnsupportedError(
      `The text has ${ids.length} tokens, a window takes ${tokens}. Name a longer one with GRAFT_BENCH_LONG_TEXT.`,
    )
  return Array.from({ length: found }, (_, i) => ids.slice(i * tokens, (i + 1) * tokens))
}

const headRows = 256 // positions whose logits are held at a time

/** Loss of each token but the first, in nats. */
async function measureLosses(model: LoadedModel, ids: readonly number[]): Promise<number[]> {
  const [states] = (await model.hidden([ids], { accuracy: 'exact' })) as [Float32Array[]]
  const head = model.head('exact')
  const labels = ids.slice(1)
  const losses: number[] = []
  for (let from = 0; from < labels.length; from += headRows) {
    const here = states.slice(from, Math.min(from + headRows, labels.length))
    const { data } = await head.logits(f32([here.length, head.width], joinFloats(here)))
    here.forEach((_, i) => {
      const row = data.subarray(i * head.vocabularySize, (i + 1) * head.vocabularySize)
      losses.push(computeCrossEntropy(row, labels[from + i]!))
    })
  }
  return losses
}

/** Mean losses of a window by bands of so many tokens. */
const averageBands = (losses: readonly number[], band: number): number[] =>
  Array.from({ length: Math.ceil(losses.length / band) }, (_, i) => {
    const own = losses.slice(i * band, (i + 1) * band)
    return own.reduce((sum, loss) => sum + loss, 0) / own.length
  })

async function readTrainedContext(source: string): Promise<number> {
  const model = await loadModel(source)
  const { maxPositions } = model.config
  await model.dispose()
  return maxPositions
}

interface Setting {
  readonly source: string
  readonly text: string
  readonly trained: number
  readonly factor: number
  /** Tokens of a window. */
  readonly tokens: number
  readonly band: number
  readonly windows: number
}

async function readSetting(environment: BenchmarkContext['environment']): Promise<Setting> {
  const source = environment['GRAFT_BENCH_LONG_MODEL'] ?? 'stories260k'
  const trained = await readTrainedContext(source)
  const readNumber = (name: string, usual: number): number =>
    Number(environment[`GRAFT_BENCH_LONG_${name}`] ?? usual)
  const factor = readNumber('FACTOR', 4)
  return {
    source,
    trained,
    factor,
    text: await readFile(environment['GRAFT_BENCH_LONG_TEXT'] ?? defaultText, 'utf8'),
    tokens: readNumber('TOKENS', factor * trained),
    band: readNumber('BAND', trained),
    windows: readNumber('WINDOWS', 8),
  }
}

/** Losses of each window by band. */
async function measureScaling(
  name: string,
  ropeScaling: RopeScalingOptions,
  { source, text, tokens, band, windows }: Setting,
  progress: BenchmarkContext['progress'],
): Promise<number[][]> {
  const model = await loadModel(source, { ropeScaling })
  try {
    const bands: number[][] = []
    for (const ids of cutWindows(model, text, tokens, windows)) {
      progress(`${name}, window ${bands.length + 1}`)
      bands.push(averageBands(await measureLosses(model, ids), band))
    }
    return bands
  } finally {
    await model.dispose()
  }
}

export const longContext: Benchmark = {
  name: 'long-context',
  summary:
    'loss by position in a text of 4 times the trained context, for each scaling of positions',
  needs:
    'no reference; a minute. GRAFT_BENCH_LONG_MODEL (stories260k), _TEXT (a file), _FACTOR (4), _TOKENS of a window, _BAND, _WINDOWS (8), _SCALINGS (none,linear,dynamic,yarn)',
  async *run({ environment, progress }): AsyncIterable<BenchmarkRow> {
    const setting = await readSetting(environment)
    const { source, trained, factor, tokens, band } = setting
    const asked = environment['GRAFT_BENCH_LONG_SCALINGS']?.split(',')
    for (const [name, ropeScaling] of listScalings(factor, trained)) {
      if (asked && !asked.includes(name)) continue
      const bands = await measureScaling(name, ropeScaling, setting, progress)
      for (const at of bands[0]!.keys())
        yield toBenchmarkRow({
          name: `${source}, ${name}, tokens ${at * band + 1} to ${Math.min((at + 1) * band, tokens)}`,
          unit: 'nats per token',
          higherIsBetter: false,
          ours: bands.map((losses) => losses[at]!),
          note: `${bands.length} windows of ${tokens} tokens, factor ${factor}`,
        })
    }
  },
}
