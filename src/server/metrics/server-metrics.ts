// Updates a server's metrics: counts as requests proceed, gauges when they are read.

import type {
  AnswerRecord,
  RequestAccount,
  RequestObserver,
  TokenGap,
} from '../accounts/account.ts'
import type { ServedBase, ServedExpert, Service } from '../service.ts'
import {
  createOwnMetrics,
  createVllmMetrics,
  type OwnMetrics,
  type VllmMetrics,
} from './metric-table.ts'
import { MetricRegistry } from './registry.ts'

/** vLLM's names for how an answer ended. */
const finishedReasons: Readonly<Record<AnswerRecord['reason'], string>> = {
  eos: 'stop',
  stop: 'stop',
  calls: 'stop',
  length: 'length',
  abort: 'abort',
  error: 'error',
}

export interface ServerMetricsParts {
  readonly service: Service
  readonly base: ServedBase
  /** Milliseconds since 1970. */
  readonly now: () => number
}

/** The current work of one expert. */
interface Flow {
  running: number
  waiting: number
}

export class ServerMetrics implements RequestObserver {
  readonly registry = new MetricRegistry()
  readonly #parts: ServerMetricsParts
  readonly #vllm: VllmMetrics
  readonly #own: OwnMetrics
  readonly #labels: { readonly model_name: string }
  readonly #flows = new Map<string, Flow>()
  #loaded: ReadonlySet<string> = new Set()

  constructor(parts: ServerMetricsParts) {
    const { name } = parts.base
    this.#parts = parts
    this.#labels = { model_name: name }
    this.#vllm = createVllmMetrics(this.registry)
    this.#own = createOwnMetrics(this.registry)
    for (const reason of new Set(Object.values(finishedReasons)))
      this.#vllm.success.add(0, { model_name: name, finished_reason: reason })
    for (const one of ['prefixQueries', 'prefixHits', 'promptTokens', 'generationTokens'] as const)
      this.#vllm[one].add(0, this.#labels)
    this.#vllm.disconnected.add(0, this.#labels)
    for (const one of timeNames) this.#vllm[one].observe(0, this.#labels, 0)
    this.#showExpert(name)
    this.registry.collectWith(() => this.#collect())
  }

  onQueue(_account: RequestAccount, expert: string): void {
    this.#getFlow(expert).waiting++
  }

  onTokens(_account: RequestAccount, { expert, isFirst, seconds, tokens }: TokenGap): void {
    if (!isFirst) {
      this.#vllm.interToken.observe(seconds, this.#labels, tokens)
      return
    }
    this.#vllm.firstToken.observe(seconds, this.#labels)
    const flow = this.#getFlow(expert)
    flow.waiting--
    flow.running++
  }

  onAnswer(_account: RequestAccount, answer: AnswerRecord): void {
    const { usage, reason, firstTokenSeconds, prefillSeconds, decodeSeconds } = answer
    const vllm = this.#vllm
    const flow = this.#getFlow(answer.expert)
    if (firstTokenSeconds === undefined) flow.waiting--
    else flow.running--
    const labels = this.#labels
    vllm.success.add(1, {
      model_name: labels.model_name,
      finished_reason: finishedReasons[reason],
    })
    vllm.prefixQueries.add(usage.promptTokens, labels)
    vllm.prefixHits.add(usage.cachedTokens, labels)
    vllm.promptTokens.add(usage.promptTokens, labels)
    vllm.generationTokens.add(usage.completionTokens, labels)
    const expert = this.#nameExpert(answer.expert)
    this.#own.answers.add(1, { expert })
    this.#own.promptTokens.add(usage.promptTokens, { expert })
    this.#own.completionTokens.add(usage.completionTokens, { expert })
    if (reason === 'abort' || reason === 'error') return
    vllm.total.observe(answer.totalSeconds, labels)
    vllm.prefill.observe(prefillSeconds, labels)
    vllm.decode.observe(decodeSeconds, labels)
    vllm.queue.observe(Math.max(0, (firstTokenSeconds ?? 0) - prefillSeconds), labels)
  }

  onEnd(account: RequestAccount): void {
    const { route, status, durationMs, isDisconnected } = account
    const { method } = account.start
    const path = route?.path ?? 'unknown'
    const known = knownMethods.has(method) ? method : 'other'
    this.#own.http.add(1, { route: path, method: known, status: String(status) })
    this.#own.httpSeconds.observe(durationMs / 1000, { route: path })
    if (isDisconnected) this.#vllm.disconnected.add(1, this.#labels)
  }

  /** Clients may write any number of mixtures, so all mixtures share one label. */
  #nameExpert(expert: string): string {
    if (expert === '') return this.#labels.model_name
    return /[+>"]|:\s*[-+.\d]/.test(expert) ? 'mixture' : expert
  }

  #getFlow(expert: string): Flow {
    const name = this.#nameExpert(expert)
    const flow = this.#flows.get(name) ?? { running: 0, waiting: 0 }
    this.#flows.set(name, flow)
    return flow
  }

  /** Counters of an expert exist from the time it is loaded, also while it is idle. */
  #showExpert(expert: string): void {
    for (const one of ['answers', 'promptTokens', 'completionTokens'] as const)
      this.#own[one].add(0, { expert })
    this.#getFlow(expert === this.#labels.model_name ? '' : expert)
  }

  async #collect(): Promise<void> {
    const { service } = this.#parts
    const [stats, experts] = await Promise.all([service.stats(), service.listExperts()])
    const vllm = this.#vllm
    const labels = this.#labels
    vllm.running.set(stats.running, labels)
    vllm.waiting.set(stats.waiting, labels)
    const { capacity, used } = stats.kv.blocks
    vllm.kvUsage.set(capacity === 0 ? 0 : used / capacity, labels)
    vllm.preemptions.set(stats.preemptions, labels)
    const sum = stats.readTokens + stats.writtenTokens
    vllm.iterationTokens.set({ counts: stats.sizes.counts, sum, count: stats.sizes.steps }, labels)
    this.#showExperts(experts)
    for (const [expert, { running, waiting }] of this.#flows) {
      this.#own.running.set(running, { expert })
      this.#own.waiting.set(waiting, { expert })
    }
    this.#own.slotBytes.set(stats.experts.slotBytes)
    this.#own.budgetBytes.set(stats.experts.budgetBytes)
    this.#showLoraInfo()
  }

  #showExperts(experts: readonly ServedExpert[]): void {
    const names = new Set(experts.map(({ name }) => name))
    for (const name of this.#loaded) {
      const flow = this.#flows.get(name)
      if (names.has(name) || (flow && flow.running + flow.waiting > 0)) continue
      this.registry.removeSeries('expert', name)
      this.#flows.delete(name)
    }
    this.#loaded = names
    for (const { name, isPinned } of experts) {
      this.#showExpert(name)
      this.#own.loaded.set(1, { expert: name })
      this.#own.pinned.set(isPinned ? 1 : 0, { expert: name })
    }
  }

  #showLoraInfo(): void {
    const list = (of: keyof Flow): string =>
      [...this.#flows]
        .filter(([name, flow]) => flow[of] > 0 && name !== this.#labels.model_name)
        .map(([name]) => name)
        .join(',')
    const running = list('running')
    const waiting = list('waiting')
    this.#vllm.loraInfo.clear() // one series: each scrape shows the names at its own time
    this.#vllm.loraInfo.set(this.#parts.now() / 1000, {
      max_lora: String(this.#parts.base.maxRows),
      running_lora_adapters: running,
      waiting_lora_adapters: waiting,
    })
  }
}

const timeNames = ['firstToken', 'interToken', 'total', 'queue', 'prefill', 'decode'] as const
const knownMethods = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'])
