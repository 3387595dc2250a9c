// What a service needs of the engine that computes its answers. Types only: the engine of this
// process implements it, and so does a server elsewhere.

import type { Engine, EngineStatistics } from '../../runtime/engine/engine.ts'
import type { AdapterPool } from '../../runtime/engine/pool/adapter-pool.ts'

/** Experts by name. */
export type ExpertShelf = Pick<
  AdapterPool,
  'list' | 'pin' | 'unpin' | 'preload' | 'countSlotBytes' | 'statistics'
>

export interface ServingEngine extends Pick<Engine, 'add' | 'addCopies' | 'run' | 'unloadAdapter'> {
  readonly experts: ExpertShelf
  registerAdapter(...given: Parameters<Engine['registerAdapter']>): Promise<unknown>
  stats(): EngineStatistics | Promise<EngineStatistics>
}
