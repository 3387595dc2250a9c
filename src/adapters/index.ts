// What users of adapters call.

export { ACTIVE, activationStart, activeFeed, NEVER } from './activation.ts'
export {
  adapterFeeds,
  checkAdapter,
  checkFinite,
  createAdapter,
  parametersOf,
  virtualIdsOf,
  type Adapter,
  type AdapterMetadata,
  type CreateOptions,
} from './adapter.ts'
export {
  adapterConfig,
  createFromRecipe,
  recipeMetadata,
  type AdapterConfigBuilder,
  type AdapterRecipe,
} from './adapter-config.ts'
export { attach, type AttachOptions } from './attach.ts'
export { cost, type AdapterCost } from './cost.ts'
export { createStandalone, standaloneBase, type StandaloneCreateOptions } from './vectors/create.ts'
export { ggufAdapterChunks, loadGgufAdapter } from './files/gguf.ts'
export { loadMlxAdapter } from './files/mlx.ts'
export { mergedWeights } from './fold.ts'
export { HotSwap, type HotSwapOptions } from './serving/hot-swap.ts'
export { inputName, peftKey } from './keys.ts'
export type {
  AdapterConfig,
  AdapterKind,
  ParameterSpec,
  ServingForm,
  Site,
  WeightOf,
} from './kinds/kind.ts'
export { adapterKinds } from './kinds/kind-table.ts'
export type { LoraConfig } from './kinds/lora-config.ts'
export {
  isMixture,
  mixedForms,
  notMixed,
  simplified,
  type Expert,
  type Mixture,
} from './serving/mixture.ts'
export {
  isMlxConfig,
  loadAdapter,
  saveAdapter,
  tensorFileOf,
  type SaveOptions,
} from './files/peft.ts'
export { presets } from './presets.ts'
export { createRole, roleCost, roleFor, roleNamed, roles } from './roles.ts'
export { readServingForms, servingForms, type ServingForms } from './serving/serving-weights.ts'
export {
  attachSlots,
  servingTensors,
  slotTensors,
  withOwnRanks,
  type SlotOptions,
} from './serving/slots.ts'
export { standaloneForward, type StandaloneForward } from './vectors/forward.ts'
export { standaloneModel, standaloneModules, type StandaloneModel } from './vectors/model.ts'
export { asStored, storageTypes, type StorageType } from './files/storage.ts'
