// Times the adapter pool at the SmolLM2-135M shape, LoRA r16 on all linears: filling a slot from
// f32, f16 and int8, a change of composition among 16 rows, and going back to a resident expert.

import type { Adapter } from '../../adapters/index.ts'
import type { BaseModel } from '../../graph/base-model.ts'
import { createAdapterPool } from '../../runtime/engine/pool/create-pool.ts'
import type { ColdForm, PoolOptions } from '../../runtime/engine/pool/pool-experts.ts'
import type { AdapterPool, Lease } from '../../runtime/engine/pool/adapter-pool.ts'
import { createSlotLayout } from '../../runtime/engine/pool/slot-layout.ts'
import { stackLinears } from '../../runtime/programs/stack-linears.ts'
import {
  toBenchmarkRow,
  type Benchmark,
  type BenchmarkContext,
  type BenchmarkRow,
} from './benchmark.ts'
import { createSyntheticAdapter, createSyntheticBase } from './synthetic.ts'

interface Subject {
  readonly base: BaseModel
  readonly adapter: Adapter
}

function createPool(base: BaseModel, options: PoolOptions): AdapterPool {
  const { stacks } = stackLinears(base.graph, () => 'alike')
  const layout = createSlotLayout(base.graph, stacks)
  const read = (name: string) => base.weights.read(name)
  return createAdapterPool({ graph: base.graph, layout, read, readFloat: read }, options)
}

function measureMilliseconds(work: () => void): number {
  const start = performance.now()
  work()
  return performance.now() - start
}

/** The same numbers in new arrays, changed slightly so that the key differs. */
function copyAdapter(adapter: Adapter, by: number): Adapter {
  const tensors = [...adapter.tensors].map(([key, tensor]) => {
    const data = (tensor.data as Float32Array).map((value) => value + by)
    return [key, { ...tensor, data }] as const
  })
  return { ...adapter, tensors: new Map(tensors) }
}

/** Three sets of numbers do not fit a processor's cache. */
const DISTINCT = 3

/** Registers that many experts, and times the registering. */
async function registerAll(pool: AdapterPool, adapter: Adapter, count: number): Promise<number[]> {
  const copies = Array.from({ length: DISTINCT }, (_, i) => copyAdapter(adapter, i * 1e-6))
  const times: number[] = []
  for (let i = 0; i < count; i++) {
    // its own key, and most arrays shared, so that memory stays small
    const { tensors, ...rest } = copies[i % DISTINCT]!
    const [key, tensor] = [...tensors][0]!
    const data = (tensor.data as Float32Array).map((value) => value + i)
    const expert = { ...rest, tensors: new Map([...tensors, [key, { ...tensor, data }]]) }
    const start = performance.now()
    await pool.register(`expert ${i}`, expert)
    times.push(performance.now() - start)
  }
  return times
}

async function unloadAll(pool: AdapterPool): Promise<void> {
  for (const { name } of pool.list()) await pool.unload(name!)
}

const leaseOf = (pool: AdapterPool, i: number): Lease => {
  const handle = pool.list()[i]!
  return pool.lease(handle)!
}

/** One slot that is filled with another expert each time. */
async function measureFills({ base, adapter }: Subject, cold: ColdForm) {
  const pool = createPool(base, { cold, budgetBytes: 25e6 })
  const registered = await registerAll(pool, adapter, 3)
  const fills: number[] = []
  for (let i = 0; i < 150; i++) {
    let lease: Lease | undefined
    fills.push(measureMilliseconds(() => (lease = leaseOf(pool, i % 3))))
    pool.release(lease!)
  }
  const { slotBytes, coldBytes } = pool.statistics
  await unloadAll(pool)
  return { registered, fills: fills.slice(50), slotBytes, coldBytes: coldBytes / 3 }
}

/** As many bytes as a slot has, copied from three places in turn: what the memory allows. */
function measureCopies(bytes: number): number[] {
  const sources = [1, 2, 3].map((value) => new Float32Array(bytes / 4).fill(value))
  const target = new Float32Array(bytes / 4).fill(1)
  const times = Array.from({ length: 60 }, (_, i) =>
    measureMilliseconds(() => target.set(sources[i % 3]!)),
  )
  return times.slice(10)
}

/** Sixteen rows, each with its own expert: one leaves, another joins. */
async function measureChanges({ base, adapter }: Subject): Promise<number[]> {
  const pool = createPool(base, { budgetBytes: 16 * 20e6 })
  await registerAll(pool, adapter, 18)
  const leases = Array.from({ length: 16 }, (_, i) => ({ i, lease: leaseOf(pool, i) }))
  const times: number[] = []
  for (let k = 0; k < 50; k++) {
    const place = (k * 7) % 16
    const next = Array.from({ length: 18 }, (_, i) => i).find(
      (i) => !leases.some((held) => held.i === i),
    )!
    times.push(
      measureMilliseconds(() => {
        pool.release(leases[place]!.lease)
        leases[place] = { i: next, lease: leaseOf(pool, next) }
        pool.arrange()
        leases[place].lease.rank!.set.groupedFeeds()
      }),
    )
  }
  for (const { lease } of leases) pool.release(lease)
  await unloadAll(pool)
  return times.slice(5)
}

/** One row that goes from one resident expert to the other. */
async function measureSwitches({ base, adapter }: Subject): Promise<number[]> {
  const pool = createPool(base, { budgetBytes: 80e6 })
  await registerAll(pool, adapter, 2)
  const times: number[] = []
  for (let k = 0; k < 200; k++) {
    let lease: Lease | undefined
    times.push(
      measureMilliseconds(() => {
        lease = leaseOf(pool, k % 2)
        lease.rank!.set.slotFeeds(lease.rank!.slot)
      }),
    )
    pool.release(lease!)
  }
  await unloadAll(pool)
  return times.slice(10)
}

const unit = { unit: 'ms', higherIsBetter: false }

async function* measureForms(
  subject: Subject,
  context: BenchmarkContext,
): AsyncIterable<BenchmarkRow> {
  for (const cold of ['f32', 'f16', 'int8'] as const) {
    context.progress(`pool: slots filled from ${cold}`)
    const { registered, fills, slotBytes, coldBytes } = await measureFills(subject, cold)
    yield toBenchmarkRow({
      ...unit,
      name: `pool: a slot filled from ${cold}`,
      ours: fills,
      reference: { name: 'a copy of as many bytes', values: measureCopies(slotBytes) },
      note: `${(slotBytes / 1e6).toFixed(1)} MB; ${(coldBytes / 1e6).toFixed(1)} MB kept for it`,
    })
    yield toBenchmarkRow({
      ...unit,
      name: `pool: an expert registered as ${cold}`,
      ours: registered,
      note: 'checks, serving weights, hash',
    })
  }
}

async function* measurePool(context: BenchmarkContext): AsyncIterable<BenchmarkRow> {
  const base = createSyntheticBase('f32')
  const subject = { base, adapter: createSyntheticAdapter(base) }
  yield* measureForms(subject, context)
  context.progress('pool: sixteen rows')
  const changes = await measureChanges(subject)
  yield toBenchmarkRow({
    ...unit,
    name: 'pool: 16 rows of 16 experts, one leaves and another joins',
    ours: changes,
    note: 'aim: 3 ms',
  })
  const switches = await measureSwitches(subject)
  yield toBenchmarkRow({
    ...unit,
    name: 'pool: to another resident expert',
    ours: switches,
    note: 'aim: 1 ms at most in 99 of 100',
  })
}

export const poolBenchmark: Benchmark = {
  name: 'pool',
  summary: 'the adapter pool: filling slots, changing who answers which of 16 rows',
  needs: 'nothing',
  run: measurePool,
}
