// Answers as views of the engine: one prompt as a stream, several prompts together.

import { OptionError } from '../../base/errors.ts'
import type { Engine, EngineRequest, EngineSequence } from './engine.ts'
import type { Generation } from './answer.ts'
import type { GenerateOptions } from './generate-options.ts'
import { resolveExperts, type AdapterChoice } from '../programs/row-groups.ts'

/**
 * Answers several prompts together; row i draws with seed + i. The first error cancels the others
 * and is thrown.
 */
export async function generateBatch(
  engine: Engine,
  prompts: readonly (readonly number[])[],
  { adapter, adapters, ...options }: Omit<GenerateOptions, 'adapter'> & AdapterChoice,
): Promise<Generation[]> {
  if (options.states)
    throw new OptionError('The option states takes one prompt at a time: use generate.')
  const experts = resolveExperts(prompts.length, {
    ...(adapter && { adapter }),
    ...(adapters && { adapters }),
  })
  const group = new AbortController()
  const signal = options.signal ? AbortSignal.any([options.signal, group.signal]) : group.signal
  const toRequest = (prompt: readonly number[], index: number): EngineRequest => ({
    ...options,
    prompt,
    index,
    signal,
    adapter: experts[index],
  })
  try {
    return await Promise.all(prompts.map((prompt, i) => readAnswer(engine, toRequest(prompt, i))))
  } catch (error) {
    group.abort(error)
    throw error
  }
}

/** The final event of one answer. */
export const readAnswer = (engine: Engine, request: EngineRequest): Promise<Generation> =>
  readEnd({ events: engine.generate(request) })

/** The final event of a running answer; throws the error that ended it early. */
export async function readEnd({ events }: Pick<EngineSequence, 'events'>): Promise<Generation> {
  let end: Generation | undefined
  for await (const event of events)
    if (event.type === 'generation-end') {
      const { type: _type, ...generation } = event
      end = generation
    }
  return end!
}
