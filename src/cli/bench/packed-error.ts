// Measures what packing an adapter costs in predictions: a LoRA r16 of all linears, trained on real
// rows on SmolLM2-135M-Instruct; its loss on rows it has not seen, and its logits after 100 prompts.

import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Adapter } from '../../adapters/adapter.ts'
import { packAdapter } from '../../adapters/packed/pack-adapter.ts'
import { packedBits } from '../../adapters/packed/packed-tensor.ts'
import { computeExampleLosses } from '../../eval/losses.ts'
import { readQuestions } from '../../eval/questions.ts'
import { readDataFile } from '../../node/data.ts'
import { type LoadedModel, loadModel } from '../../node/model.ts'
import { resolveModel } from '../../node/models/resolve.ts'
import {
  measurePredictionDistance,
  type PredictionDistance,
} from '../../runtime/analysis/prediction-distance.ts'
import { probePrompts } from '../../runtime/analysis/probe-prompts.ts'
import type { RawDataset } from '../../train/data/jsonl.ts'
import { train } from '../../train/run/train.ts'
import { snipsSettings, toSnipsDataSet } from '../quickstart/snips.ts'
import { toBenchmarkRow, type BenchmarkContext, type BenchmarkRow } from './benchmark.ts'

const source = 'smollm2-135m-instruct:q4_1'
const folder = fileURLToPath(new URL('../../../examples/data/snips_json', import.meta.url))
const trainedRows = 160
const testedRows = 40

const readRows = async (name: string, count: number): Promise<RawDataset> =>
  toSnipsDataSet(
    (await readDataFile(join(folder, name))).rows.slice(0, count).map(({ value }) => value),
  )

async function trainExpert(model: LoadedModel): Promise<Adapter | undefined> {
  let expert: Adapter | undefined
  for await (const event of train({
    ...snipsSettings,
    model,
    data: await readRows('train.jsonl', trainedRows),
    adapter: { kind: 'lora', config: { rank: 16, alpha: 32, targets: 'all-linear' } },
  }))
    if (event.type === 'train-end') expert = event.adapter
  return expert
}

/** Mean loss of a token to learn, in nats. */
async function computeLoss(model: LoadedModel, adapter: Adapter | undefined): Promise<number> {
  const questions = readQuestions(await readRows('test.jsonl', testedRows))
  const { rows } = await computeExampleLosses(questions, {
    model,
    adapter,
    system: snipsSettings.system,
    maxTokens: 256,
  })
  const sumOf = (name: 'sum' | 'tokens'): number =>
    rows.reduce((sum, row) => sum + (row?.[name] ?? 0), 0)
  return sumOf('sum') / sumOf('tokens')
}

async function computeLogits(model: LoadedModel, adapter: Adapter): Promise<Float32Array[]> {
  const logits: Float32Array[] = []
  for (const prompt of probePrompts) {
    const ids = model.base.tokenizer!.encode(prompt)
    logits.push(...(await model.nextLogits([ids], 'exact', { adapter })))
  }
  return logits
}

const describeDistance = ({ meanDivergence, largestGap, equalGreedy }: PredictionDistance) =>
  `KL ${meanDivergence.toExponential(1)} nats, logits off by ${largestGap.toFixed(3)} at most, greedy token equal after ${Math.round(100 * equalGreedy)} of 100 prompts`

/** A row for each form, or none if the real model or the rows are missing. */
export async function* measurePackedError(context: BenchmarkContext): AsyncIterable<BenchmarkRow> {
  const found = await resolveModel(source).catch((error: unknown) => {
    const why = error instanceof Error ? error.message : String(error)
    context.progress(`the error is left out: ${why}`)
    return undefined
  })
  if (!found) return
  const model = await loadModel(source)
  try {
    context.progress('packed: training an expert')
    const expert = await trainExpert(model)
    if (!expert) return
    context.progress('packed: loss and logits')
    const base = await computeLoss(model, undefined)
    const plain = await computeLoss(model, expert)
    const wanted = await computeLogits(model, expert)
    for (const bits of packedBits) {
      const adapter = packAdapter(expert, { bits })
      const distance = measurePredictionDistance(wanted, await computeLogits(model, adapter))
      yield toBenchmarkRow({
        name: `loss of unseen rows, ${bits} bits`,
        unit: 'nats',
        higherIsBetter: false,
        ours: [await computeLoss(model, adapter)],
        reference: { name: 'f32', values: [plain] },
        note: `base ${base.toFixed(3)}; ${describeDistance(distance)}`,
      })
    }
  } finally {
    await model.dispose()
  }
}
