// The states of many users: kept, versioned, and as many of them in memory as fit. Where they lie,
// graftlm/node and graftlm/web say.

export {
  UserCheckpoints,
  type UserCheckpointInfo,
  type UserCheckpointOptions,
  type OpenedState,
  type RefusedCheckpoint,
  type WriteCheckpointOptions,
} from './checkpoints.ts'
export { createMemoryStore, type MemoryStoreOptions } from './memory-store.ts'
export { decodeMicroLora, encodeMicroLora } from './micro-lora-state.ts'
export { SaveQueue, type SaveQueueOptions } from './save-queue.ts'
export { stateForms, type StateForm } from './state-image.ts'
export { type OpenUser, type PoolProblem, UserPool, type UserPoolOptions } from './user-pool.ts'
export {
  type JsonValue,
  estimateStateBytes,
  type StateShapes,
  type UserState,
} from './user-state.ts'
export { absentVersion, type ItemInfo, type StoredItem, type UserStore } from './user-store.ts'
