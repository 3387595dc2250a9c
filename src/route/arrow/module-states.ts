// The inputs of linear layers of the base for a prompt, which routing by adapters uses.

import { OptionError } from '../../base/errors.ts'
import { computeServedIdentity } from '../../graph/model-identity.ts'
import type { Model } from '../../runtime/model.ts'
import { getModelParts } from '../../runtime/model-parts.ts'
import { createModuleInputs, type ModuleInputs } from '../../runtime/programs/module-inputs.ts'
import type { StateSource } from '../router.ts'

/** Tokens that are read of a long prompt: half from its beginning, half from its end. */
const mostTokens = 256
/** The part of a text that is tokenized. */
const mostCharacters = 16 * mostTokens

const cutMiddle = <T>(items: readonly T[], most: number): readonly T[] =>
  items.length <= most
    ? items
    : [...items.slice(0, Math.ceil(most / 2)), ...items.slice(-Math.floor(most / 2))]

/**
 * The states of a model that createModel or loadModel made; a program is compiled for each list of
 * modules when it is first read. Throws OptionError for a model without a tokenizer.
 */
export async function createStateSource(model: Model): Promise<StateSource> {
  const { base, weights, backend } = getModelParts(model)
  const { tokenizer, graph } = base
  if (!tokenizer)
    throw new OptionError(`Model "${base.name}" has no tokenizer, and prompts are texts.`)
  const lead = tokenizer.bosId === undefined ? [] : [tokenizer.bosId]
  const cut = (text: string): string =>
    text.length <= mostCharacters
      ? text
      : `${text.slice(0, mostCharacters / 2)} ${text.slice(-mostCharacters / 2)}`
  const opened: Promise<ModuleInputs>[] = []
  return {
    sha256: await computeServedIdentity(base),
    layers: base.config.layers.length,
    open(modules) {
      let inputs: Promise<ModuleInputs> | undefined
      const start = (): Promise<ModuleInputs> => {
        inputs = createModuleInputs({ model: graph, weights, backend, accuracy: 'fast', modules })
        opened.push(inputs)
        return inputs
      }
      return async (text, signal) => {
        signal?.throwIfAborted()
        const ids = tokenizer.encode(cut(text))
        const row = [
          ...lead,
          ...cutMiddle(ids.length > 0 ? ids : [tokenizer.eosId ?? 0], mostTokens),
        ]
        const states = await (await (inputs ?? start())).run([row])
        // The first token of every prompt is the same and carries no information.
        return new Map(
          [...states].map(([path, { data, shape }]) => [
            path,
            data.subarray(lead.length * shape[2]!),
          ]),
        )
      }
    },
    async dispose() {
      for (const made of await Promise.allSettled(opened))
        if (made.status === 'fulfilled') await made.value.dispose()
    },
  }
}
