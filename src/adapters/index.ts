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
  type CreateOptions,
} from './adapter.ts'
export { attach, type AttachOptions } from './attach.ts'
export { cost, type AdapterCost } from './cost.ts'
export { ggufAdapterChunks, loadGgufAdapter } from './gguf.ts'
export { loadMlxAdapter } from './mlx.ts'
export { mergedWeights } from './fold.ts'
export { inputName, peftKey } from './keys.ts'
export type { AdapterConfig, AdapterKind, ParameterSpec, ServingForm, Site, WeightOf } from './kind.ts'
export { adapterKinds } from './kinds.ts'
export type { LoraConfig } from './lora-config.ts'
export { isMixture, mixedForms, notMixed, simplified, type Expert, type Mixture } from './mixture.ts'
export { isMlxConfig, loadAdapter, saveAdapter } from './peft.ts'
export { presets } from './presets.ts'
export { readServingForms, servingForms, type ServingForms } from './serving-forms.ts'
export { attachSlots, servingTensors, slotTensors, type SlotOptions } from './slots.ts'
