// The states of many users: kept, versioned, and as many of them in memory as fit. Where they lie,
// graftlm/node and graftlm/web say.

export {
  Checkpoints,
  type CheckpointInfo,
  type CheckpointOptions,
  type OpenedState,
  type Refusal,
  type WriteOptions,
} from './checkpoints.ts'
export { memoryStore, type MemoryStoreOptions } from './memory-store.ts'
export { microLoraOf, stateOfMicroLora } from './micro-lora-state.ts'
export { SaveQueue, type SaveOptions } from './save-queue.ts'
export { stateForms, type StateForm } from './state-image.ts'
export { type OpenUser, type PoolProblem, UserPool, type UserPoolOptions } from './user-pool.ts'
export { type Json, stateBytes, type StateShapes, type UserState } from './user-state.ts'
export { absent, type ItemInfo, type StoredItem, type UserStore } from './user-store.ts'
