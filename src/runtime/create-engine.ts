// A separate engine over a model, with its own rows, cached prefixes and resident experts.

import { OptionError } from '../base/errors.ts'
import { readGivenOptions, unchecked } from '../base/schema.ts'
import type { Engine } from './engine/engine.ts'
import { engineFields, type EngineOptions } from './engine/engine-options.ts'
import { getModelParts } from './model-parts.ts'
import type { Model } from './model.ts'

export interface CreateEngineOptions extends EngineOptions {
  readonly model: Model
}

const fields = { ...engineFields, model: unchecked<Model>('a model') }

/**
 * An engine that serves many requests at once, each with its own expert:
 *
 *     const engine = createEngine({ model, maxRows: 16 })
 *     await engine.registerAdapter('coder', coder)
 *     for await (const event of engine.generate({ prompt: model.encode('…'), adapter: 'coder' })) …
 *
 * Programs are shared with the model; rows, cached prefixes and slots are the engine's own. Throws
 * OptionError for unknown or wrong options.
 */
export function createEngine(options: CreateEngineOptions): Engine {
  const { model, ...settings } = readGivenOptions('Engine options', options, fields)
  if (!model) throw new OptionError('Engine options: model is missing.')
  return getModelParts(model).createEngine(settings)
}
