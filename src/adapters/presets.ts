// Short names for common sets of target modules. A preset becomes a plain list of names when an
// adapter is created, so that PEFT can read it.

import type { ModuleInfo } from '../graph/model-graph.ts'
import { listModuleNames } from './targets.ts'

type Preset = (modules: readonly ModuleInfo[]) => ModuleInfo[]

const createLinearPreset =
  (part: RegExp): Preset =>
  (modules) =>
    modules.filter(({ path, kind }) => kind === 'linear' && part.test(path))

// phi3 has all three in one layer; layers without attention have in_proj (lfm2) or in_proj_qkv
// (qwen3_5)
const queryOrValue = /\.(q_proj|v_proj|qkv_proj|conv\.in_proj|in_proj_qkv)$/

export const targetPresets: ReadonlyMap<string, Preset> = new Map<string, Preset>([
  ['default', (modules) => modules.filter(({ path }) => queryOrValue.test(path))],
  ['attention', createLinearPreset(/\.self_attn\./)],
  ['mlp', createLinearPreset(/\.(mlp|shared_mlp|feed_forward)\./)],
  [
    'all-linear',
    (modules) => modules.filter(({ kind, layer }) => kind === 'linear' && layer !== undefined),
  ],
])

/** The names that a preset means in this model; any other choice unchanged. */
export function resolvePreset(
  targets: readonly string[] | string,
  modules: readonly ModuleInfo[],
): readonly string[] | string {
  const preset = typeof targets === 'string' ? targetPresets.get(targets) : undefined
  return preset ? listModuleNames(preset(modules)) : targets
}
