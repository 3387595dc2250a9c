// Fields that clients of OpenAI, vLLM and llama.cpp know and that have no effect here. Each is
// refused with its reason, unless its value asks for what happens anyway.

import type { RefusedField } from '../../route.ts'

const refuse = (reason: string, ...neutral: readonly unknown[]): RefusedField => ({
  reason,
  neutral,
})

const notStored = 'answers are not stored here'
const noBilling = 'there are no service tiers here'
const oneCache = 'all requests share one prefix cache; use cache_salt to keep them apart'
const textOnly = 'this model reads and writes text only'

/** Fields of OpenAI's chat and completions. */
const openai: Readonly<Record<string, RefusedField>> = {
  store: refuse(notStored, false),
  metadata: refuse(notStored, {}),
  modalities: refuse(textOnly, ['text']),
  audio: refuse(textOnly),
  prediction: refuse('predicted outputs are not used'),
  verbosity: refuse('local models have no such setting; say it in the prompt'),
  service_tier: refuse(noBilling, 'auto', 'default'),
  web_search_options: refuse('there is no web search here'),
  moderation: refuse('answers are not moderated here'),
  safety_identifier: refuse('requests are not watched for misuse here; use user'),
  prompt_cache_key: refuse(oneCache),
  prompt_cache_options: refuse(oneCache),
  prompt_cache_retention: refuse(oneCache),
}

/** Fields of vLLM's chat and completions. */
const vllm: Readonly<Record<string, RefusedField>> = {
  use_beam_search: refuse('answers are drawn token by token, without beams', false),
  length_penalty: refuse('it is of beam search, which there is not', 1),
  priority: refuse('the scheduler goes by waiting time', 0),
  skip_special_tokens: refuse('special tokens are left out of texts', true),
  spaces_between_special_tokens: refuse('special tokens are left out of texts', true),
  include_stop_str_in_output: refuse('texts end before the stop string', false),
  stop_token_ids: refuse('give the text of the token as stop', []),
  truncate_prompt_tokens: refuse('prompts are not cut; shorten it'),
  truncation_side: refuse('prompts are not cut; shorten it'),
  allowed_token_ids: refuse('use logit_bias or a grammar'),
  bad_words: refuse('use logit_bias', []),
  documents: refuse('write documents into the messages'),
  chat_template: refuse("templates are the server's and the expert's"),
  mm_processor_kwargs: refuse(textOnly),
  media_io_kwargs: refuse(textOnly),
  include_reasoning: refuse('reasoning is always separated', true),
  return_token_ids: refuse('ask for logprobs, or use /tokenize', false),
  return_tokens_as_token_ids: refuse('use /tokenize', false),
  request_id: refuse('use the header x-request-id'),
  kv_transfer_params: refuse('there is one server'),
  vllm_xargs: refuse('they are of vLLM'),
  logits_processors: refuse('requests run no code here'),
  guided_json: refuse('use response_format or structured_outputs'),
  guided_regex: refuse('use structured_outputs.regex'),
  guided_choice: refuse('use structured_outputs.choice'),
  guided_grammar: refuse('use structured_outputs.grammar'),
}

/** Samplers and settings of llama.cpp. */
const llamacpp: Readonly<Record<string, RefusedField>> = {
  id_slot: refuse('the scheduler chooses the row', -1),
  cache_prompt: refuse('prefixes are cached where that changes nothing', true),
  n_keep: refuse('the context is not shifted', 0),
  n_discard: refuse('the context is not shifted', 0),
  n_indent: refuse('there is no such sampler here', 0),
  n_cmpl: refuse('use n', 1),
  dynatemp_range: refuse('there is no such sampler here', 0),
  dynatemp_exponent: refuse('there is no such sampler here', 1),
  typical_p: refuse('there is no such sampler here', 1),
  top_n_sigma: refuse('there is no such sampler here', -1),
  xtc_probability: refuse('there is no such sampler here', 0),
  xtc_threshold: refuse('there is no such sampler here', 0.1),
  dry_multiplier: refuse('there is no such sampler here', 0),
  dry_base: refuse('there is no such sampler here', 1.75),
  dry_allowed_length: refuse('there is no such sampler here', 2),
  dry_penalty_last_n: refuse('there is no such sampler here', -1, 0),
  dry_sequence_breakers: refuse('there is no such sampler here', ['\n', ':', '"', '*']),
  mirostat: refuse('there is no such sampler here', 0),
  mirostat_tau: refuse('there is no such sampler here', 5),
  mirostat_eta: refuse('there is no such sampler here', 0.1),
  repeat_last_n: refuse('the penalty counts all tokens before', -1),
  min_keep: refuse('there is no such setting here', 0),
  samplers: refuse('the order of samplers is fixed'),
  t_max_predict_ms: refuse('limits of time are set for the server', 0),
  post_sampling_probs: refuse('log-probabilities are of the model, before sampling', false),
  timings_per_token: refuse('timings stand in the last event', false),
  return_progress: refuse('progress is not reported', false),
  response_fields: refuse('answers have all fields'),
  reasoning_format: refuse('reasoning is separated as reasoning_content', 'auto', 'deepseek'),
  parse_tool_calls: refuse('calls are always read', true),
  image_data: refuse(textOnly, []),
  ignore_special: refuse('special tokens are left out of texts'),
}

export const refusedCommon: Readonly<Record<string, RefusedField>> = Object.assign(
  {},
  openai,
  vllm,
  llamacpp,
)

export const refusedInChat: Readonly<Record<string, RefusedField>> = Object.assign(
  {},
  refusedCommon,
  {
    functions: refuse('it is deprecated: use tools', []),
    function_call: refuse('it is deprecated: use tool_choice', 'none'),
    echo: refuse('the prompt is in the request', false),
    best_of: refuse('it is of completions'),
    suffix: refuse('it is of completions'),
  },
)

export const refusedInCompletions: Readonly<Record<string, RefusedField>> = Object.assign(
  {},
  refusedCommon,
  {
    suffix: refuse('these models do not fill in: they continue a text', ''),
    prompt_embeds: refuse('prompts are texts or token ids'),
  },
)

export const refusedInEmbeddings: Readonly<Record<string, RefusedField>> = {
  dimensions: refuse('vectors have the width of the model and are not cut'),
  priority: refuse('the scheduler goes by waiting time', 0),
  truncate_prompt_tokens: refuse('inputs are not cut; shorten them'),
  add_special_tokens: refuse('texts get BOS where the tokenizer adds it', true),
  normalize: refuse('vectors have the length 1', true),
  embd_normalize: refuse('vectors have the length 1', 2),
}
