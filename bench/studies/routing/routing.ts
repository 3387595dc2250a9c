// How often routers are right, what they refuse, their size and their time: on nine classes of
// prompts, clinc150 and banking77; and a thousand experts.

import { join } from 'node:path'
import { tmpdir } from 'node:os'
import {
  type Benchmark,
  type BenchmarkContext,
  type BenchmarkRow,
  summarizeValues,
} from '../../../src/cli/bench/benchmark.ts'
import { type LoadedModel, loadModel } from '../../../src/node/index.ts'
import { openTextEncoder } from '../../../src/node/route/open-encoder.ts'
import {
  createBaseEmbedder,
  createRouter,
  evaluateRouter,
  type Router,
  type TextEmbedder,
} from '../../../src/route/index.ts'
import { createDiskEmbedder } from './disk-embedder.ts'
import { measureKinds, measureLatency } from './routing-times.ts'
import { readRoutingSet, type RoutingSet } from './routing-data.ts'

/** A row of the table: a kind and its options. */
const contenders: Readonly<Record<string, { kind: string; options?: object }>> = {
  keyword: { kind: 'keyword' },
  'nearest neighbour': { kind: 'embedding', options: { head: 'nearest' } },
  centroid: { kind: 'embedding', options: { head: 'centroid' } },
  'linear head': { kind: 'embedding', options: { head: 'linear', shrinkage: 0.2 } },
  'logistic head': { kind: 'embedding', options: { head: 'logistic' } },
  'logistic head that expects strangers': {
    kind: 'embedding',
    options: { head: 'logistic', outOfScope: 0.67 },
  },
  policy: { kind: 'policy' },
  cascade: { kind: 'cascade' },
  hierarchical: { kind: 'hierarchical' },
  tasks: { kind: 'tasks' },
}

interface Setting {
  readonly context: BenchmarkContext
  readonly model: LoadedModel | undefined
  readonly embedder: TextEmbedder | undefined
}

const toShareRow = (name: string, value: number, note: string): BenchmarkRow => ({
  name,
  unit: '%',
  higherIsBetter: true,
  ours: summarizeValues([100 * value]),
  note,
})

/** The most frequent expert for everything: the lowest line of a table. */
function countMajority({ train, test }: RoutingSet): number {
  const counts = new Map<string, number>()
  for (const { expert } of train)
    if (expert !== undefined) counts.set(expert, (counts.get(expert) ?? 0) + 1)
  const [best] = [...counts].toSorted(([, a], [, b]) => b - a)[0]!
  const inScope = test.filter(({ expert }) => expert !== undefined)
  return inScope.filter(({ expert }) => expert === best).length / inScope.length
}

async function measureRouter(
  router: Router,
  set: RoutingSet,
  label: string,
  trainSeconds: number,
): Promise<BenchmarkRow> {
  const rows = [...set.test, ...set.foreign]
  const result = await evaluateRouter(router, rows, { now: () => performance.now() })
  const sizeBytes = JSON.stringify(router.save()).length
  const at3 = result.coverage.find(({ coverage }) => coverage <= 0.9701)
  const recall =
    at3?.outOfScopeRecall === undefined
      ? ''
      : `, out of scope refused ${(100 * at3.outOfScopeRecall).toFixed(1)} % at 3 % in scope`
  return toShareRow(
    `${set.name}: ${label}`,
    result.accuracy,
    `${result.rows} prompts${recall}; calibration error ${(100 * result.calibrationError).toFixed(1)} %, ${(sizeBytes / 1024).toFixed(0)} KB, trained in ${trainSeconds.toFixed(1)} s; median ${result.medianMs.toFixed(2)} ms, p99 ${result.p99Ms.toFixed(2)} ms`,
  )
}

async function* measureSet(set: RoutingSet, names: readonly string[], setting: Setting) {
  const { context, model, embedder } = setting
  const experts = [...new Set(set.train.flatMap(({ expert }) => expert ?? []))].map((name) => ({
    name,
  }))
  const strange = set.train.filter(({ expert }) => expert === undefined).length
  const majority = `${experts.length} experts, ${set.train.length} prompts to train on, ${strange} of them of none`
  yield toShareRow(`${set.name}: majority`, countMajority(set), majority)
  for (const label of names) {
    const { kind, options = {} } = contenders[label]!
    context.progress(`${set.name}: ${label}`)
    const start = performance.now()
    const router = await createRouter({
      kind,
      experts,
      examples: set.train,
      held: set.held,
      options: { ...options },
      ...(model && { model }),
      ...(embedder && { embedder }),
    })
    yield await measureRouter(router, set, label, (performance.now() - start) / 1000)
  }
}

/** A thousand experts known by three prompts each: loaded, asked, and one more added. */
async function* measureThousand(embedder: TextEmbedder): AsyncGenerator<BenchmarkRow> {
  const experts = Array.from({ length: 1000 }, (_, i) => ({
    name: `expert-${i}`,
    examples: [0, 1, 2].map((j) => `topic ${i} of field ${i % 37} and case ${(i * 13 + j) % 101}`),
  }))
  const file = (await createRouter({ kind: 'tasks', experts, embedder })).save()
  const text = JSON.stringify(file)
  const loads: number[] = []
  let router: Router | undefined
  for (let i = 0; i < 5; i++) {
    const start = performance.now()
    router = await createRouter({ file: JSON.parse(text), embedder })
    loads.push(performance.now() - start)
  }
  const ms = { unit: 'ms', higherIsBetter: false }
  yield {
    ...ms,
    name: '1,000 experts: load',
    ours: summarizeValues(loads),
    note: `${(text.length / 1024).toFixed(0)} KB`,
  }
  yield await measureLatency(router!, '1,000 experts: decide', 100)
  const start = performance.now()
  await router!.add!({ name: 'another', examples: ['something else', 'something more'] })
  yield {
    ...ms,
    name: '1,000 experts: add one',
    ours: summarizeValues([performance.now() - start]),
  }
}

/** Coverage against errors is in `graft route eval`; this table has one line for each router. */
export const routing: Benchmark = {
  name: 'routing',
  summary: 'routers on nine classes of prompts, clinc150 and banking77; 1,000 experts; latency',
  needs:
    'GRAFT_BENCH_DATA (folder of data sets); GRAFT_BENCH_SETS, _ROUTERS, _EACH (prompts a class), _MODEL, _LAYERS (5,10), _ENCODER (in place of its layers), _VECTORS (cache)',
  async *run(context) {
    const { environment } = context
    const list = (name: string, usual: readonly string[]): readonly string[] =>
      environment[`GRAFT_BENCH_${name}`]?.split(',') ?? usual
    const names = list('ROUTERS', Object.keys(contenders))
    const sets = list('SETS', ['nine', 'clinc150', 'banking77'])
    const each = Number(environment['GRAFT_BENCH_EACH'] ?? Infinity)
    const needsModel =
      environment['GRAFT_BENCH_ENCODER'] === undefined && names.some((name) => name !== 'keyword')
    const model = needsModel
      ? await loadModel(environment['GRAFT_BENCH_MODEL'] ?? 'smollm2-135m-instruct')
      : undefined
    const encoder = environment['GRAFT_BENCH_ENCODER']
    const layers = environment['GRAFT_BENCH_LAYERS']?.split(',').map(Number)
    const live =
      encoder === undefined
        ? model && (await createBaseEmbedder(model, layers ? { layers } : {}))
        : await openTextEncoder(encoder)
    const cache = environment['GRAFT_BENCH_VECTORS'] ?? join(tmpdir(), 'graft-vectors')
    const embedder =
      live &&
      (await createDiskEmbedder(live, cache, (done, of) =>
        context.progress(`${done} of ${of} prompts read`),
      ))
    const folder = environment['GRAFT_BENCH_DATA']
    if (folder !== undefined)
      for (const name of sets)
        yield* measureSet(readRoutingSet(name, folder, each), names, { context, model, embedder })
    else context.progress('GRAFT_BENCH_DATA is not set: only times are measured')
    yield* measureKinds(live)
    if (live) yield* measureThousand(live)
    await live?.dispose()
    await model?.dispose()
  },
}
