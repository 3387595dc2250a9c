// Short names for common sets of target modules. A preset becomes a plain list of names when an
// adapter is created, so that PEFT can read it.

import type { ModuleInfo } from '../graph/model-graph.ts'
import { listModuleNames } from './targets.ts'

type Preset = (modules: readonly ModuleInfo[]) => ModuleInfo[]

const createLinearPreset =
  (part: string): Preset =>
  (modules) =>
    modules.filter(({ path, kind }) => kind === 'linear' && path.includes(part))

const queryOrValue = /\.(q_proj|v_proj|qkv_proj)$/ // phi3 keeps all three in one

export const targetPresets: ReadonlyMap<string, Preset> = new Map<string, Preset>([
  ['default', (modules) => modules.filter(({ path }) => queryOrValue.test(path))],
  ['attention', createLinearPreset('.self_attn.')],
  ['mlp', createLinearPreset('.mlp.')],
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
