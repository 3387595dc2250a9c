// Embeds the inputs of a request, some at a time, so that one large request does not take the
// memory of all its inputs at once.

import { type Expert, isMixture } from '../../adapters/serving/mixture.ts'
import { findPooling } from '../../adapters/serving/pooling.ts'
import { RequestError } from '../request-error.ts'
import { planBatches } from '../../route/features/text-batches.ts'
import type { Model } from '../../runtime/model.ts'
import type { EmbeddingResult, EmbedRequest } from '../expert-choice.ts'
import type { ChosenExpert } from './choose-expert.ts'
import type { ExpertRegister } from './expert-register.ts'
import type { PromptWriter } from './write-prompt.ts'

export interface EmbedderParts {
  readonly model: Model
  readonly writer: PromptWriter
  readonly experts: ExpertRegister
  readonly contextTokens: number
}

/** Limit of a batch's tokens, padding included; a single input may have more. */
const batchTokens = 2048

export async function computeEmbeddings(
  { inputs, pooling, onlyTaught = false }: EmbedRequest,
  chosen: ChosenExpert,
  { model, writer, experts, contextTokens }: EmbedderParts,
  signal: AbortSignal | undefined,
): Promise<EmbeddingResult> {
  const rows = inputs.map((input) => writer.encode(input, chosen.reader))
  rows.forEach((ids, i) => checkInput(ids, i, contextTokens))
  const adapter = toExpert(chosen, experts)
  if (onlyTaught && findPooling(adapter) === undefined) throw createUntaught(chosen, experts)
  const options = { ...(pooling && { pooling }), ...(adapter && { adapter }) }
  const vectors: Float32Array[] = Array.from({ length: rows.length })
  for (const batch of planBatches(
    rows.map(({ length }) => length),
    batchTokens,
  )) {
    signal?.throwIfAborted()
    const { data, shape } = await model.embed(
      batch.map((i) => rows[i]!),
      options,
    )
    const width = shape[1]!
    batch.forEach((i, n) => (vectors[i] = data.slice(n * width, (n + 1) * width)))
  }
  experts.countAnswer(chosen.names, 0)
  const promptTokens = rows.reduce((sum, { length }) => sum + length, 0)
  return { vectors, promptTokens, expert: chosen.spec }
}

/** The adapters themselves, because embeddings are not computed from the engine's slots. */
function toExpert({ parts, isFade }: ChosenExpert, experts: ExpertRegister): Expert | undefined {
  if (isFade)
    throw new RequestError('model: a fade between experts generates answers, not embeddings.', {
      param: 'model',
      code: 'not_supported',
    })
  const mixture = parts.map(({ name, weight }) => {
    const { expert } = experts.get(name).handle
    if (expert && !isMixture(expert)) return { adapter: expert, weight }
    throw new RequestError(
      `The expert ${JSON.stringify(name)} is ${expert ? 'a mixture' : 'kept in 16 or 8 bits'}, from which no embeddings are computed.`,
      { param: 'model', code: 'not_supported' },
    )
  })
  return mixture.length === 0 ? undefined : { mixture }
}

function createUntaught({ model }: ChosenExpert, experts: ExpertRegister): RequestError {
  const taught = experts.list().flatMap(({ name, pooling }) => (pooling ? [name] : []))
  const found = taught.length === 0 ? 'none is loaded' : `there are ${taught.join(', ')}`
  return new RequestError(
    `model: ${JSON.stringify(model)} was not trained to embed. Name an expert whose metadata has graft_pooling; ${found}.`,
    { param: 'model', code: 'not_supported' },
  )
}

function checkInput({ length }: readonly number[], index: number, contextTokens: number): void {
  const param = `input.${index}`
  if (length === 0)
    throw new RequestError('The input is empty: a model needs at least one token to read.', {
      param,
      code: 'invalid_value',
    })
  if (length > contextTokens)
    throw new RequestError(
      `Input ${index} has ${length} tokens, and the model's context has ${contextTokens}. Shorten it.`,
      {
        type: 'exceed_context_size_error',
        code: 'context_length_exceeded',
        param,
        details: { n_prompt_tokens: length, n_ctx: contextTokens },
      },
    )
}
