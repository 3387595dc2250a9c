// The server's metrics: vLLM's names, which dashboards and gateways read, and our own by expert and
// route. No label names a user or contains text that a client chose.

import { stepTokenBounds } from '../../runtime/engine/statistics.ts'
import { Counter, Gauge, Histogram, type MetricRegistry } from './registry.ts'

/** vLLM's bounds, in seconds (vllm/v1/metrics/loggers.py). */
const firstTokenBounds = [
  0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80,
]
const tokenBounds = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5,
]
const requestBounds = [
  0.05, 0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480,
]
const httpBounds = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120]

export const createVllmMetrics = (registry: MetricRegistry) => {
  const counter = (name: string, help: string, labels: readonly string[] = []) =>
    registry.add(new Counter({ name, help, labels: ['model_name', ...labels] }))
  const gauge = (name: string, help: string) =>
    registry.add(new Gauge({ name, help, labels: ['model_name'] }))
  const histogram = (name: string, help: string, bounds: readonly number[]) =>
    registry.add(new Histogram({ name, help, bounds, labels: ['model_name'] }))
  return {
    running: gauge('vllm:num_requests_running', 'Sequences that are computed.'),
    waiting: gauge('vllm:num_requests_waiting', 'Sequences that wait for a row.'),
    kvUsage: gauge('vllm:kv_cache_usage_perc', 'Share of the blocks in use, 0 to 1.'),
    preemptions: counter('vllm:num_preemptions_total', 'Sequences that lost their row.'),
    prefixQueries: counter('vllm:prefix_cache_queries_total', 'Tokens looked up in the cache.'),
    prefixHits: counter('vllm:prefix_cache_hits_total', 'Tokens found in the cache.'),
    promptTokens: counter('vllm:prompt_tokens_total', 'Tokens of prompts.'),
    generationTokens: counter('vllm:generation_tokens_total', 'Tokens of answers.'),
    success: counter('vllm:request_success_total', 'Answers that ended.', ['finished_reason']),
    disconnected: counter(
      'vllm:http_requests_client_disconnected_total',
      'Requests whose client went away before the end.',
    ),
    iterationTokens: histogram(
      'vllm:iteration_tokens_total',
      'Tokens of a step of the engine, of prompts and answers.',
      stepTokenBounds,
    ),
    firstToken: histogram(
      'vllm:time_to_first_token_seconds',
      'From the request to the first token.',
      firstTokenBounds,
    ),
    interToken: histogram(
      'vllm:inter_token_latency_seconds',
      'Between two tokens of an answer.',
      tokenBounds,
    ),
    total: histogram(
      'vllm:e2e_request_latency_seconds',
      'From the request to the end of the answer.',
      requestBounds,
    ),
    queue: histogram(
      'vllm:request_queue_time_seconds',
      'From the request to the begin of reading its prompt.',
      requestBounds,
    ),
    prefill: histogram(
      'vllm:request_prefill_time_seconds',
      'From there to the first token.',
      requestBounds,
    ),
    decode: histogram(
      'vllm:request_decode_time_seconds',
      'From the first token to the last.',
      requestBounds,
    ),
    loraInfo: registry.add(new Gauge(loraInfo)),
  }
}

const loraInfo = {
  name: 'vllm:lora_requests_info',
  help: 'Experts of running and waiting requests; the value is the time in seconds since 1970.',
  labels: ['max_lora', 'running_lora_adapters', 'waiting_lora_adapters'],
}

export const createOwnMetrics = (registry: MetricRegistry) => {
  const byExpert = { labels: ['expert'] }
  const add = (name: string, help: string, more: { labels: string[] } = byExpert) =>
    registry.add(new Counter({ name, help, labels: more.labels }))
  const gauge = (name: string, help: string, labels: readonly string[] = ['expert']) =>
    registry.add(new Gauge({ name, help, labels }))
  return {
    answers: add('graft_expert_answers_total', 'Answers that ended, by who answered.'),
    promptTokens: add('graft_expert_prompt_tokens_total', 'Tokens of prompts.'),
    completionTokens: add('graft_expert_completion_tokens_total', 'Tokens of answers.'),
    running: gauge('graft_expert_requests_running', 'Answers that have a first token.'),
    waiting: gauge('graft_expert_requests_waiting', 'Answers without a first token yet.'),
    loaded: gauge('graft_expert_loaded', '1 for each expert that requests may name.'),
    pinned: gauge('graft_expert_pinned', '1 for each expert that stays in its slot.'),
    slotBytes: gauge('graft_slot_bytes', 'Memory of the experts that are resident.', []),
    budgetBytes: gauge('graft_slot_budget_bytes', 'The limit of it.', []),
    http: add('graft_http_requests_total', 'Requests.', { labels: ['route', 'method', 'status'] }),
    httpSeconds: registry.add(
      new Histogram({
        name: 'graft_http_request_duration_seconds',
        help: 'From the first header to the last byte.',
        labels: ['route'],
        bounds: httpBounds,
      }),
    ),
  }
}

export type VllmMetrics = ReturnType<typeof createVllmMetrics>
export type OwnMetrics = ReturnType<typeof createOwnMetrics>
