// Reranking as Cohere, Jina and vLLM offer it: scores documents by their similarity to a query, in
// the vectors of an expert that was trained to embed.

import {
  createField,
  describeValue,
  flag,
  integer,
  isRecord,
  string,
} from '../../../base/schema.ts'
import { RequestError } from '../../request-error.ts'
import { type BodyForm, defineRoute, type Route, type RouteCall } from '../../route.ts'
import type { GivenOptions } from '../../../base/schema.ts'
import type { Service } from '../../service.ts'
import { modelField } from '../requests/model-field.ts'

type GivenDocument = string | { readonly text: string }

const mostDocuments = 2048

const isDocument = (value: unknown): value is GivenDocument =>
  typeof value === 'string' ? value !== '' : isRecord(value) && isFilled(value['text'])
const isFilled = (value: unknown): boolean => typeof value === 'string' && value !== ''

const documentsField = createField<readonly GivenDocument[]>(
  `a list of 1 to ${mostDocuments} texts, or of { "text": … }`,
  {
    type: 'array',
    minItems: 1,
    maxItems: mostDocuments,
    items: {
      anyOf: [
        { type: 'string', minLength: 1 },
        { type: 'object', properties: { text: { type: 'string' } }, required: ['text'] },
      ],
    },
  },
  (value) =>
    Array.isArray(value) &&
    value.length > 0 &&
    value.length <= mostDocuments &&
    value.every(isDocument),
  { about: 'what is ranked' },
)

const fields = {
  model: modelField,
  query: string({ filled: true, about: 'what is looked for' }),
  documents: Object.assign(documentsField, { findProblems: findDocumentProblems }),
  top_n: integer({ from: 1, about: 'results at most; default: all' }),
  return_documents: flag({ about: 'results hold the texts (default true)' }),
  user: string({ filled: true, about: 'who asks: for usage' }),
}

/** Names the document that is wrong. */
function findDocumentProblems(value: unknown, name: string): string[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > mostDocuments)
    return [
      `${name}: got ${Array.isArray(value) ? `${value.length} documents` : describeValue(value)}, expected 1 to ${mostDocuments}`,
    ]
  return value.flatMap((one, i) =>
    isDocument(one)
      ? []
      : [`${name}[${i}]: got ${describeValue(one)}, expected a string or { "text": … }`],
  )
}

const form: BodyForm<typeof fields> = {
  fields,
  required: ['query', 'documents'],
  refused: {
    rank_fields: { reason: 'documents are texts, or { "text": … }' },
    max_chunks_per_doc: { reason: 'documents are not cut; send their parts as documents' },
    max_tokens_per_doc: { reason: 'documents are not cut; shorten them' },
    truncate_prompt_tokens: { reason: 'documents are not cut; shorten them' },
    truncation: { reason: 'documents are not cut; shorten them', neutral: [false] },
    priority: { reason: 'the scheduler goes by waiting time', neutral: [0] },
  },
}

const createRoute = (path: string): Route =>
  defineRoute({
    method: 'POST',
    path,
    scope: 'infer',
    tag: 'Rerank',
    summary: 'Ranks documents by their closeness to a query.',
    body: form,
    answer: { type: 'object', required: ['id', 'model', 'usage', 'results'] },
    handle: rankDocuments,
  })

/** vLLM answers at all three paths. */
export const rerankRoutes: readonly Route[] = ['/v1/rerank', '/v2/rerank', '/rerank'].map(
  createRoute,
)

/** The requested model; if none is named, the only expert that was trained to embed. */
async function chooseModel(service: Service, model: string | undefined): Promise<string> {
  if (model !== undefined) return model
  const taught = (await service.listExperts()).filter(({ pooling }) => pooling !== undefined)
  if (taught.length === 1) return taught[0]!.name
  const names = taught.map(({ name }) => name).join(', ')
  throw new RequestError(
    taught.length === 0
      ? 'No expert that was trained to embed is loaded. Load one whose metadata has graft_pooling (docs/embed.md).'
      : `model is missing: several experts were trained to embed: ${names}.`,
    { param: 'model', code: taught.length === 0 ? 'not_supported' : 'missing_value' },
  )
}

async function rankDocuments({
  service,
  body,
  signal,
  context,
  createId,
}: RouteCall<GivenOptions<typeof fields>>): Promise<Response> {
  const { query, user, top_n: most, return_documents: withDocuments = true } = body
  const texts = body.documents!.map((one) => (typeof one === 'string' ? one : one.text))
  const model = await chooseModel(service, body.model)
  const started = performance.now()
  const asked = { model, inputs: [query!, ...texts], onlyTaught: true }
  const { vectors, promptTokens, expert } = await service.embed(asked, signal)
  context.get('reportUsage')?.({
    expert,
    user,
    end: 'done',
    promptTokens,
    cachedTokens: 0,
    completionTokens: 0,
    reasoningTokens: 0,
    promptMs: performance.now() - started,
    decodeMs: 0,
  })
  const [first, ...others] = vectors as [Float32Array, ...Float32Array[]]
  const results = others
    .map((vector, index) => ({
      index,
      relevance_score: computeProduct(first, vector),
      ...(withDocuments && { document: { text: texts[index]! } }),
    }))
    .toSorted((a, b) => b.relevance_score - a.relevance_score || a.index - b.index)
    .slice(0, most)
  return Response.json({
    id: createId('rerank-'),
    object: 'list',
    model: model.trim(),
    usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
    results,
  })
}

/** Of vectors of length 1: their cosine. */
const computeProduct = (a: Float32Array, b: Float32Array): number =>
  a.reduce((sum, value, i) => sum + value * b[i]!, 0)
