// An engine's request as vLLM's completion: prompts and answers travel as token ids, so that
// templates, tools and texts are Graft's own. Settings that vLLM does not support are refused.

import type { GrammarChoice } from '../../formats/grammar/grammar-choice.ts'
import type { EngineRequest } from '../../runtime/engine/engine.ts'
import { RequestError } from '../request-error.ts'

export interface CompletionParts {
  /** The base's name or the adapter's, as vLLM knows it. */
  readonly model: string
  readonly maxTokens: number
  readonly eosIds: ReadonlySet<number>
  /** Added to the seed. */
  readonly copy: number
}

/** vLLM and OpenAI bound biases to ±100; −100 keeps a token out. */
const banBias = -100

/** Throws RequestError for a setting that vLLM does not have. */
export function createCompletion(
  request: EngineRequest,
  { model, maxTokens, eosIds, copy }: CompletionParts,
): Record<string, unknown> {
  checkSettings(request)
  const { promptLogprobs, logprobs, tenant, grammar } = request
  const streams = promptLogprobs === undefined // vLLM refuses both together
  return {
    model,
    prompt: request.prompt,
    max_tokens: Math.max(1, maxTokens),
    min_tokens: Math.min(request.minTokens ?? 0, maxTokens),
    temperature: request.temperature ?? 0,
    top_p: request.topP ?? 1,
    top_k: request.topK === undefined || request.topK === 0 ? -1 : request.topK,
    min_p: request.minP ?? 0,
    repetition_penalty: request.repetitionPenalty ?? 1,
    frequency_penalty: request.frequencyPenalty ?? 0,
    presence_penalty: request.presencePenalty ?? 0,
    logit_bias: createBias(request),
    seed: (request.seed ?? 0) + (request.index ?? 0) + copy,
    stop: request.stop && request.stop.length > 0 ? request.stop : undefined,
    stop_token_ids: [...eosIds],
    skip_special_tokens: false,
    return_token_ids: true,
    return_tokens_as_token_ids: true,
    logprobs,
    prompt_logprobs: promptLogprobs,
    cache_salt: tenant === undefined || tenant === '' ? undefined : tenant,
    structured_outputs: grammar && createStructure(grammar),
    stream: streams,
    stream_options: streams ? { include_usage: true } : undefined,
  }
}

function createBias({ logitBias = {}, bannedTokens = [] }: EngineRequest) {
  const banned = bannedTokens.map((id) => [String(id), banBias] as const)
  const all = Object.fromEntries([...Object.entries(logitBias), ...banned])
  return Object.keys(all).length > 0 ? all : undefined
}

function createStructure(grammar: GrammarChoice): Record<string, unknown> {
  switch (grammar.type) {
    case 'json':
      return { json_object: true }
    case 'json-schema':
      return {
        json: grammar.schema,
        disable_any_whitespace: grammar.whitespace === 'none' ? true : undefined,
      }
    case 'regex':
      return { regex: grammar.pattern }
    case 'ebnf':
      return { grammar: renameRoot(grammar.text, grammar.root ?? 'root') }
    case 'structural':
      return {
        structural_tag: JSON.stringify({ type: 'structural_tag', format: grammar.format }),
      }
  }
}

/** vLLM begins with the rule "root". */
function renameRoot(text: string, root: string): string {
  if (root === 'root') return text
  if (/^\s*root\s*::=/m.test(text))
    throw new RequestError(
      `The grammar begins with the rule "${root}" and has another one named "root", with which vLLM begins. Name the first rule root.`,
      { code: 'not_supported' },
    )
  return `root ::= ${root}\n${text}`
}

function checkSettings({ speculate, stage, states }: EngineRequest): void {
  if (speculate !== undefined)
    throw new RequestError(
      'speculate: vLLM sets speculative decoding when it starts (--speculative-config), not by a request. Leave it out.',
      { param: 'speculate', code: 'not_supported' },
    )
  if (stage || states)
    throw new RequestError(
      'The tiers that learn from users read hidden states, which vLLM does not give. Serve without --backend.',
      { code: 'not_supported' },
    )
}
