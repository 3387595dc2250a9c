// Modules to and from their saved form: counts, generators, and numbers by slot.

import type { MicroModule } from '../module/module.ts'
import { readWatched, writeWatched } from '../module/ewc.ts'
import type { MicroLoraConfig } from '../options.ts'
import { listSavedSlots, type SavedMicroLora } from './saved.ts'
import type { SavedModule } from './saved-meta.ts'

type Modules = ReadonlyMap<string, MicroModule>

export function captureModules(
  config: MicroLoraConfig,
  modules: Modules,
): {
  readonly modules: Readonly<Record<string, SavedModule>>
  readonly tensors: SavedMicroLora['tensors']
} {
  const tensors = new Map<string, Float32Array>()
  const saved: Record<string, SavedModule> = Object.create(null)
  for (const [name, module] of modules) {
    const { pendingUpdates, pendingWeight, steps, lastMove, consolidations, watched, noise } =
      module
    saved[name] = {
      pendingUpdates,
      pendingWeight,
      steps,
      lastMove,
      consolidations,
      watched,
      noise: noise.state(),
    }
    for (const slot of listSavedSlots(config, pendingUpdates))
      tensors.set(`${name}.${slot}`, module.read(slot))
    if (config.ewc) tensors.set(`${name}.watched`, readWatched(module.memory))
  }
  return { modules: saved, tensors }
}

/** Restores a state that was checked. */
export function restoreModules(modules: Modules, { meta, tensors }: SavedMicroLora): void {
  for (const [name, module] of modules) {
    module.reset()
    module.restore(meta.modules[name]!)
    for (const slot of listSavedSlots(meta.config, module.pendingUpdates))
      module.write(slot, tensors.get(`${name}.${slot}`)!)
    if (meta.config.ewc) writeWatched(module.memory, tensors.get(`${name}.watched`)!)
  }
}
