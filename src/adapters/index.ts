// What users of adapters call.

export { ACTIVE, findActivationStart, computeActiveFeed, NEVER } from './activation.ts'
export {
  toAdapterFeeds,
  checkAdapter,
  checkFinite,
  listParameterSpecs,
  listVirtualIds,
  type Adapter,
  type AdapterMetadata,
} from './adapter.ts'
export {
  type AdapterBase,
  type AdapterTarget,
  createAdapter,
  type CreateAdapterOptions,
} from './create-adapter.ts'
export {
  configureAdapter,
  createFromRecipe,
  toAdapterMetadata,
  type AdapterConfigBuilder,
  type AdapterRecipe,
} from './adapter-config.ts'
export { attach, type AttachOptions } from './attach.ts'
export { computeAdapterCost, type AdapterCost } from './cost.ts'
export { createStandalone, type CreateStandaloneOptions } from './vectors/create.ts'
export { encodeGgufAdapter, loadGgufAdapter } from './files/gguf.ts'
export { loadMlxAdapter } from './files/mlx.ts'
export { mergeWeights } from './merge-weights.ts'
export { HotSwap, type HotSwapOptions } from './serving/hot-swap.ts'
export { toInputName, toPeftKey } from './keys.ts'
export type {
  AdapterConfig,
  AdapterKind,
  ParameterSpec,
  ServingWeights,
  AdaptedLayer,
  WeightOf,
} from './kinds/kind.ts'
export { adapterKinds, type AdapterKindName, type AdapterOptions } from './kinds/kind-table.ts'
export type { LoraConfig } from './kinds/lora-config.ts'
export {
  isMixture,
  mixServingWeights,
  createMixtureError,
  simplifyExpert,
  type Expert,
  type Mixture,
} from './serving/mixture.ts'
export {
  isMlxConfig,
  loadAdapter,
  saveAdapter,
  getTensorFileName,
  type SaveAdapterOptions,
} from './files/peft.ts'
export { targetPresets } from './presets.ts'
export { createRole, computeRoleCost, resolveRole, getRole, roles } from './roles.ts'
export {
  readServingWeights,
  computeServingWeights,
  type ServingWeightMap,
} from './serving/serving-weights.ts'
export {
  attachSlots,
  computeServingFeeds,
  toSlotFeeds,
  withOwnRanks,
  type SlotOptions,
} from './serving/slots.ts'
export { createStandaloneForward, type StandaloneForward } from './vectors/forward.ts'
export { createStandaloneModel, standaloneModules, type StandaloneModel } from './vectors/model.ts'
export { asStored, storageTypes, type StorageType } from './files/storage.ts'
