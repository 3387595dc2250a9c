// Short names for common sets of target modules. A preset becomes a plain list of names when an
// adapter is made, so PEFT can read it.

import type { ModuleInfo } from '../graph/model-graph.ts'
import { moduleNames } from './targets.ts'

type Preset = (modules: readonly ModuleInfo[]) => ModuleInfo[]

const linearIn =
  (part: string): Preset =>
  (modules) =>
    modules.filter(({ path, kind }) => kind === 'linear' && path.includes(part))

const queryOrValue = /\.(q_proj|v_proj|qkv_proj)$/ // phi3 keeps all three in one

export const presets: ReadonlyMap<string, Preset> = new Map<string, Preset>([
  ['default', (modules) => modules.filter(({ path }) => queryOrValue.test(path))],
  ['attention', linearIn('.self_attn.')],
  ['mlp', linearIn('.mlp.')],
  [
    'all-linear',
    (modules) => modules.filter(({ kind, layer }) => kind === 'linear' && layer !== undefined),
  ],
])

/** The names a preset stands for in this model; any other choice as it is. */
export function resolvePreset(
  targets: readonly string[] | string,
  modules: readonly ModuleInfo[],
): readonly string[] | string {
  const preset = typeof targets === 'string' ? presets.get(targets) : undefined
  return preset ? moduleNames(preset(modules)) : targets
}
