// Makes an expert ready before its first request: its slot filled, its programs compiled.

import { OptionError } from '../../../base/errors.ts'
import type { Accuracy } from '../../../compute/pack-linears.ts'
import type { KvElement } from '../../programs/cached-graph.ts'
import type { ProgramCache } from '../../programs/program-cache.ts'
import type { StepPrograms } from '../../programs/step/step-programs.ts'
import type { AdapterPool, ExpertHandle, Lease } from '../pool/adapter-pool.ts'

/** What is needed of an engine. */
interface SlotEngine {
  readonly experts: AdapterPool
  readonly hasWork: boolean
  run(): Promise<void>
  step(): Promise<void>
}

export interface PrepareParts {
  readonly engine: SlotEngine
  readonly steps: StepPrograms
  /** For adapters that no slot can hold. */
  readonly programs: ProgramCache
  readonly accuracy: Accuracy
  /** How keys and values are kept. */
  readonly past: KvElement
}

/** undefined: the base. Throws OptionError if no slot can become free. */
export async function prepareExpert(
  handle: ExpertHandle | undefined,
  { engine, steps, programs, accuracy, past }: PrepareParts,
): Promise<void> {
  const lease = handle && (await acquireSlot(engine, handle))
  const form = lease?.rank ? 'shared' : 'none'
  const vectors = lease !== undefined && lease.vector > 0
  if (lease?.attached) await programs.get(lease.attached, accuracy, undefined, past)
  if (!lease?.attached || lease.handle.virtualTokens > 0)
    for (const kind of ['prefill', 'decode'] as const)
      await steps[kind]({ accuracy, form, vectors, past })
  if (lease) engine.experts.release(lease)
}

/** A lease, when a slot is free; throws OptionError if no request runs that could free one. */
async function acquireSlot(engine: SlotEngine, handle: ExpertHandle): Promise<Lease> {
  const { experts } = engine
  for (;;) {
    const lease = await experts.acquire(handle)
    if (lease) return lease
    if (!engine.hasWork)
      throw new OptionError(
        `prepare: leases and pins hold all slots of the ${experts.statistics.budgetBytes} bytes for experts, and no running request will release one. Raise expertBytes, or release one.`,
      )
    void engine.run()
    await engine.step()
  }
}
