// The choice of the program that computes a standalone adapter's loss and gradients: its kind's
// own, or the graph's.

import { type Adapter, listParameterSpecs } from '../../adapters/adapter.ts'
import { getKind } from '../../adapters/kinds/kind-table.ts'
import type { LoraConfig } from '../../adapters/kinds/lora-config.ts'
import type { StandaloneModel } from '../../adapters/vectors/model.ts'
import { UnsupportedError } from '../../base/errors.ts'
import type { Backend } from '../../compute/backend.ts'
import { createGraphProgram } from './graph-program.ts'
import { createLoraProgram } from './lora-program.ts'
import type { StandaloneProgram } from './program.ts'

export interface StandaloneProgramOptions {
  readonly model: StandaloneModel
  readonly adapter: Pick<Adapter, 'kind' | 'config'>
  /** Runs the graphs of kinds without their own program here. */
  readonly backend: Backend
}

/** LoRA's own program does not support biases on B; the graph does. */
const isPlainLora = ({ kind, config }: Pick<Adapter, 'kind' | 'config'>): boolean =>
  kind === 'lora' && !(config as LoraConfig).loraBias && (config.modulesToSave ?? []).length === 0

/**
 * LoRA by its own products, which need no backend; every other kind through its graph. Throws
 * UnsupportedError for soft prompts.
 */
export async function createStandaloneProgram({
  model,
  adapter,
  backend,
}: StandaloneProgramOptions): Promise<StandaloneProgram> {
  const kind = getKind(adapter.kind)
  if (kind.virtualTokens)
    throw new UnsupportedError(
      `A ${kind.name} adapter puts tokens before a prompt; a standalone model reads vectors. Choose another kind.`,
    )
  if (isPlainLora(adapter)) return createLoraProgram(model, adapter.config as LoraConfig)
  const trainable = [...listParameterSpecs(model.graph, adapter)].flatMap(([key, spec]) =>
    spec.trainable ? [key] : [],
  )
  return createGraphProgram({ model, adapter, backend, trainable })
}
