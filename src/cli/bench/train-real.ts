// Times training on real rows: snips_json as chats on SmolLM2-135M-Instruct, packed, with loss on
// the completion only. The reference is PEFT with padded batches.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { writeHuggingFaceCopy } from '../../node/models/hugging-face-copy.ts'
import type { LoadedModel } from '../../node/model.ts'
import { loadModel } from '../../node/model.ts'
import { resolveModel } from '../../node/models/resolve.ts'
import { readDataFile } from '../../node/data.ts'
import { toSnipsDataSet, snipsSettings } from '../quickstart/snips.ts'
import { train } from '../../train/run/train.ts'
import { toBenchmarkRow, type BenchmarkContext, type BenchmarkRow } from './benchmark.ts'
import { runPythonText } from './reference.ts'

const rows = 160
const data = fileURLToPath(new URL('../../../examples/data/snips_json', import.meta.url))

/**
 * Real tokens per second of each step after the first two, which warm up. A shared beginning counts
 * for each of its rows.
 */
async function measureGraft(model: LoadedModel): Promise<number[]> {
  const examples = toSnipsDataSet(
    (await readDataFile(join(data, 'train.jsonl'))).rows.slice(0, rows).map(({ value }) => value),
  )
  let tokens = 0
  let steps = 0
  let started = 0
  let warm = 0
  for await (const event of train({
    ...snipsSettings,
    model,
    data: examples,
    adapter: { kind: 'lora', config: { rank: 16, alpha: 32, targets: 'all-linear' } },
  })) {
    if (event.type === 'data-ready') {
      tokens = event.data.tokens
      steps = event.steps
    }
    if (event.type === 'step-end' && event.step === 2) {
      started = performance.now()
      warm = event.step
    }
    if (event.type === 'step-end' && event.step === steps)
      return [((tokens * (steps - warm)) / steps / (performance.now() - started)) * 1000]
  }
  return []
}

async function measurePeft(
  gguf: Parameters<typeof writeHuggingFaceCopy>[0],
  context: BenchmarkContext,
): Promise<number[]> {
  const folder = await mkdtemp(join(tmpdir(), 'graft-bench-'))
  try {
    await writeHuggingFaceCopy(gguf, join(folder, 'model'), 'f32')
    const text = await runPythonText(
      'peft_real.py',
      [
        join(folder, 'model'),
        data,
        join(folder, 'out'),
        `rows=${rows}`,
        'short=1',
        'lr=2e-3',
        'eval=1',
        'base=0',
      ],
      context,
    )
    const [tokens, seconds] = [/tokens (\d+)/, /trained in (\d+)s/].map((pattern) =>
      Number(pattern.exec(text ?? '')?.[1]),
    )
    return tokens && seconds ? [tokens / seconds] : []
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** One row, or none if the real model is missing. */
export async function* measureRealData(context: BenchmarkContext): AsyncIterable<BenchmarkRow> {
  const source = 'smollm2-135m-instruct:q4_1'
  const resolved = await resolveModel(source).catch((error: unknown) => {
    context.progress(
      `real rows are left out: ${error instanceof Error ? error.message : String(error)}`,
    )
    return undefined
  })
  if (!resolved || !('gguf' in resolved)) return
  const model = await loadModel(source)
  try {
    context.progress('real rows: our first half')
    const first = await measureGraft(model)
    const reference = context.environment['GRAFT_BENCH_PYTHON']
      ? await measurePeft(resolved.gguf, context)
      : []
    context.progress('real rows: our second half')
    yield toBenchmarkRow({
      name: `real rows (snips_json, ${rows}), packed`,
      unit: 'real tokens/s',
      higherIsBetter: true,
      goal: 2.5,
      ours: [...first, ...(await measureGraft(model))],
      reference: { name: 'PEFT f32, batches of 8, padded', values: reference },
    })
  } finally {
    await model.dispose()
  }
}
