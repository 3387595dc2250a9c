// States of many users: saved, versioned, and as many in memory as fit. Stores on disk and in browsers
// are in graftlm/node and graftlm/web.

export type {
  OpenedState,
  RefusedCheckpoint,
  UserCheckpointInfo,
  UserCheckpointOptions,
  WriteCheckpointOptions,
} from './checkpoint-info.ts'
export { UserCheckpoints } from './checkpoints.ts'
export { createMemoryStore, type MemoryStoreOptions } from './memory-store.ts'
export { decodeMicroLora, encodeMicroLora } from './micro-lora-state.ts'
export { stateForms, type StateForm } from './state-image.ts'
export { type OpenUser, UserPool } from './user-pool.ts'
export type { PoolProblem, UserPoolOptions } from './user-pool-options.ts'
export type { JsonValue, StateShapes, UserState } from './user-state.ts'
export type { ItemInfo, StoredItem, UserStore } from './user-store.ts'
