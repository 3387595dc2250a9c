// Where a step of the engine spends its time: base products, LoRA, attention, head and the rest by
// ONNX Runtime's profile, and what happens outside of it. SmolLM2-135M's shape in Q4_0.

import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as ort from 'onnxruntime-node'
import type { Adapter } from '../../../src/adapters/index.ts'
import {
  type Benchmark,
  type BenchmarkRow,
  toBenchmarkRow,
} from '../../../src/cli/bench/benchmark.ts'
import { createSyntheticAdapter, createSyntheticBase } from '../../../src/cli/bench/synthetic.ts'
import { createOnnxRuntimeBackend, type OnnxRuntime } from '../../../src/compute/onnxruntime.ts'
import type { BaseModel } from '../../../src/graph/base-model.ts'
import { toOnnx } from '../../../src/graph/passes/to-onnx.ts'
import { createEngine, createModel, type Engine } from '../../../src/runtime/index.ts'
import { createBaseWeights } from '../../../src/runtime/programs/base-weights.ts'
import {
  buildDecodeGraph,
  buildPrefillGraph,
} from '../../../src/runtime/programs/step/step-graph.ts'
import {
  assignParts,
  findProgram,
  nodeParts,
  type NodePart,
  type ProfiledRun,
  type ProfileEvent,
  readRuns,
  sumParts,
} from './profile-parts.ts'

const rowCounts = [1, 4, 10, 16]
const promptTokens = 256
const newTokens = 24

interface Outside {
  /** Milliseconds of a step's decode call, ONNX Runtime's own included. */
  readonly write: number
  /** The choice of tokens and of what runs next. */
  readonly choose: number
}

/** So many rows at once, each by its own expert or by the base. */
async function serve(engine: Engine, experts: readonly (Adapter | undefined)[]): Promise<Outside> {
  const before = engine.stats()
  await Promise.all(
    experts.map(async (adapter, row) => {
      const prompt = Array.from({ length: promptTokens }, (_, i) => 100 + ((i * 37 + row) % 20_000))
      const request = { prompt, adapter, maxTokens: newTokens, minTokens: newTokens, cache: false }
      for await (const _ of engine.generate(request));
    }),
  )
  const { milliseconds, steps } = engine.stats()
  const taken = (part: keyof typeof milliseconds): number =>
    (milliseconds[part] - before.milliseconds[part]) / (steps - before.steps)
  return { write: taken('write'), choose: taken('choose') + taken('schedule') }
}

/** Profiles of every program that serves these experts, and times outside of them by rows. */
async function runProfiled(base: BaseModel, experts: readonly (Adapter | undefined)[]) {
  const folder = await mkdtemp(join(tmpdir(), 'graft-profile-'))
  const session = { enableProfiling: true, profileFilePrefix: join(folder, 'run') }
  const backend = createOnnxRuntimeBackend(ort as unknown as OnnxRuntime, { session })
  const model = createModel({ base, backend })
  const engine = createEngine({ model, kvBytes: 2 ** 30, expertBytes: 2 ** 30 })
  const outside = new Map<number, Outside>()
  for (const rows of rowCounts) {
    await serve(engine, experts.slice(0, rows)) // compiles
    outside.set(rows, await serve(engine, experts.slice(0, rows)))
  }
  await model.dispose()
  const files = await readdir(folder)
  const programs = await Promise.all(
    files.map(async (name) =>
      readRuns(JSON.parse(await readFile(join(folder, name), 'utf8')) as ProfileEvent[]),
    ),
  )
  await rm(folder, { recursive: true })
  return { programs, outside }
}

/** The parts of the nodes of every program. */
function listPrograms(base: BaseModel): ReadonlyMap<string, NodePart>[] {
  const weights = createBaseWeights(base.graph, base.weights)
  const forms = ['none', 'shared', 'grouped'] as const
  const graphs = forms.flatMap((form) => [
    buildDecodeGraph(base.graph, weights, { accuracy: 'fast', form }),
    ...(form === 'grouped'
      ? []
      : [buildPrefillGraph(base.graph, weights, { accuracy: 'fast', form })]),
  ])
  return graphs.map(({ graph }) => assignParts(toOnnx(graph).nodes))
}

const toRow = (name: string, ours: readonly number[]): BenchmarkRow =>
  toBenchmarkRow({ name, unit: 'ms', higherIsBetter: false, ours })

function* describeParts(
  name: string,
  runs: readonly ProfiledRun[],
  programs: readonly ReadonlyMap<string, NodePart>[],
): Generator<BenchmarkRow> {
  const parts = runs[0] && findProgram(runs[0], programs)
  if (!parts) return
  const sums = sumParts(runs, parts)
  for (const part of nodeParts) if (sums[part] > 0) yield toRow(`${name}: ${part}`, [sums[part]])
  yield toRow(
    `${name}: the program's whole run`,
    runs.map(({ microseconds }) => microseconds / 1000),
  )
}

export const engineProfile: Benchmark = {
  name: 'engine-profile',
  summary: "where a step of the engine spends its time, by ONNX Runtime's profile",
  needs: 'onnxruntime-node',
  async *run({ progress }) {
    const base = createSyntheticBase('q4_0')
    const programs = listPrograms(base)
    const experts = Array.from({ length: 16 }, (_, i) =>
      createSyntheticAdapter(base, 'lora', undefined, { first: 1000 * i }),
    )
    for (const [who, own] of [
      ['base', experts.map(() => undefined)],
      ['an expert each', experts],
    ] as const) {
      progress(who)
      const measured = await runProfiled(base, own)
      const runs = measured.programs.flat()
      yield* describeParts(
        `a prompt of ${promptTokens}, ${who}`,
        runs.filter(({ tokens }) => tokens === promptTokens),
        programs,
      )
      for (const rows of rowCounts) {
        const steps = runs.filter((run) => run.tokens === 1 && run.rows === rows)
        const name = `${rows} ${rows === 1 ? 'row' : 'rows'}, ${who}`
        yield* describeParts(name, steps, programs)
        const { choose } = measured.outside.get(rows)!
        yield toRow(`${name}: choice of tokens and schedule`, [choose])
      }
    }
  },
}
