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
export { adapterConfig, createFromRecipe, recipeMetadata, type AdapterConfigBuilder, type AdapterRecipe } from './adapter-config.ts'
export { attach, type AttachOptions } from './attach.ts'
export { cost, type AdapterCost } from './cost.ts'
export { createStandalone, standaloneBase, type StandaloneCreateOptions } from './create-standalone.ts'
export { ggufAdapterChunks, loadGgufAdapter } from './gguf.ts'
export { loadMlxAdapter } from './mlx.ts'
export { mergedWeights } from './fold.ts'
export { HotSwap, type HotSwapOptions } from './hot-swap.ts'
export { inputName, peftKey } from './keys.ts'
export type { AdapterConfig, AdapterKind, ParameterSpec, ServingForm, Site, WeightOf } from './kind.ts'
export { adapterKinds } from './kinds.ts'
export type { LoraConfig } from './lora-config.ts'
export { isMixture, mixedForms, notMixed, simplified, type Expert, type Mixture } from './mixture.ts'
export { isMlxConfig, loadAdapter, saveAdapter, tensorFileOf, type SaveOptions } from './peft.ts'
export { presets } from './presets.ts'
export { createRole, roleCost, roleFor, roleNamed, roles } from './roles.ts'
export { readServingForms, servingForms, type ServingForms } from './serving-forms.ts'
export { attachSlots, servingTensors, slotTensors, withOwnRanks, type SlotOptions } from './slots.ts'
export { standaloneForward, type StandaloneForward } from './standalone-forward.ts'
export { standaloneModel, standaloneModules, type StandaloneModel } from './standalone-model.ts'
export { asStored, storageTypes, type StorageType } from './storage.ts'
