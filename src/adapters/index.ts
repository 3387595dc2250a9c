// graftlm/adapters: the public functions on adapters. Inside the library, other parts are imported
// by path.

export { checkAdapter, type Adapter, type AdapterMetadata } from './adapter.ts'
export {
  configureAdapter,
  createFromRecipe,
  type AdapterConfigBuilder,
  type AdapterRecipe,
} from './adapter-config.ts'
export { attach, type AttachOptions } from './attach.ts'
export { computeAdapterCost, type AdapterCost } from './cost.ts'
export {
  createAdapter,
  type AdapterBase,
  type AdapterTarget,
  type CreateAdapterOptions,
} from './create-adapter.ts'
export { encodeGgufAdapter, loadGgufAdapter } from './files/gguf.ts'
export { loadMlxAdapter } from './files/mlx.ts'
export { loadAdapter, saveAdapter, type SaveAdapterOptions } from './files/peft.ts'
export { storageTypes, type StorageType } from './files/storage.ts'
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
export { mergeWeights } from './merge-weights.ts'
export { targetPresets } from './presets.ts'
export { computeRoleCost, createRole, getRole, roles, type RoleBase } from './roles.ts'
export { HotSwap, type HotSwapOptions } from './serving/hot-swap.ts'
export { isMixture, type Expert, type Mixture } from './serving/mixture.ts'
export { createStandalone, type CreateStandaloneOptions } from './vectors/create.ts'
export { createStandaloneForward, type StandaloneForward } from './vectors/forward.ts'
export { createStandaloneModel, standaloneModules, type StandaloneModel } from './vectors/model.ts'
