// A vLLM server in place of the engine of this process: requests are checked and named here and
// computed there. Names, checks and versions of experts are those of the engine's pool.

import { parseExpertSpec } from '../../adapters/serving/expert-spec.ts'
import { checkPromptIds } from '../../runtime/engine/engine-checks.ts'
import type {
  Engine,
  EngineRequest,
  EngineSequence,
  EngineStatistics,
} from '../../runtime/engine/engine.ts'
import type { AdapterPool, ExpertHandle } from '../../runtime/engine/pool/adapter-pool.ts'
import type { AnswerWriting } from '../../runtime/engine/answer.ts'
import type { GenerateEvent } from '../../runtime/engine/request.ts'
import type { Expert } from '../../adapters/serving/mixture.ts'
import type { ModelConfig } from '../../graph/model-config.ts'
import type { ServingEngine } from '../local/serving-engine.ts'
import { RequestError } from '../request-error.ts'
import { checkVllmKind } from './check-kind.ts'
import { readAnswer } from './read-answer.ts'
import { readVllmGauges } from './read-gauges.ts'
import { createCompletion } from './vllm-request.ts'
import { type VllmClient, VllmRefusal } from './vllm-client.ts'
import { toVllmName, VllmExperts, type VllmExpertsParts } from './vllm-experts.ts'

export interface VllmEngineParts extends VllmExpertsParts {
  /** The pool of this process names and checks experts; it computes nothing. */
  readonly engine: Pick<Engine, 'registerAdapter' | 'unloadAdapter' | 'stats'> & {
    readonly experts: AdapterPool
  }
  readonly client: VllmClient
  /** The base's name there. */
  readonly model: string
  readonly config: ModelConfig
  readonly contextTokens: number
  readonly writing: (expert: Expert | undefined) => AnswerWriting
  /** Milliseconds. */
  readonly now: () => number
}

export const createVllmEngine = (parts: VllmEngineParts): ServingEngine => new VllmEngine(parts)

class VllmEngine implements ServingEngine {
  readonly experts: ServingEngine['experts']
  readonly #parts: VllmEngineParts
  readonly #contents: VllmExperts
  #count = 0
  #running = 0

  constructor(parts: VllmEngineParts) {
    this.#parts = parts
    this.#contents = new VllmExperts(parts)
    this.experts = createShelf(parts.engine.experts)
  }

  async add(request: EngineRequest): Promise<EngineSequence> {
    const [only] = await this.addCopies(request, 1)
    return only!
  }

  /**
   * Each answer is a separate request there, so that each can be cancelled; prefixes are shared.
   */
  async addCopies(request: EngineRequest, count: number): Promise<EngineSequence[]> {
    const { config } = this.#parts
    checkPromptIds(request.prompt, config)
    const handle = await this.#resolve(request.adapter)
    const made = await Promise.allSettled(
      Array.from({ length: count }, (_, copy) => this.#begin(request, handle, copy)),
    )
    const failed = made.find((one) => one.status === 'rejected')
    const begun = made.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    if (!failed) return begun
    for (const sequence of begun) sequence.cancel(failed.reason)
    throw failed.reason
  }

  /** The one LoRA of a request; throws RequestError if vLLM cannot add the experts up. */
  async #resolve(adapter: EngineRequest['adapter']): Promise<ExpertHandle | undefined> {
    if (adapter === undefined) return undefined
    const { experts } = this.#parts.engine
    const text = String(adapter)
    if (experts.list().some(({ name }) => name === text)) return experts.find(text)
    const { parts, later } = parseExpertSpec(text)
    const [first, ...others] = parts.filter(({ weight }) => weight !== 0)
    if (!first && !later) return undefined
    if (first && others.length === 0 && first.weight === 1 && !later)
      return experts.find(first.name)
    const names = [...new Set(parts.map(({ name }) => name))]
    throw new RequestError(
      `vLLM answers with one LoRA of weight 1, and ${JSON.stringify(text)} is a mixture. Merge it: graft merge ${names.join(' ')} --out merged, and load that. Or serve it without --backend.`,
      { param: 'model', code: 'not_supported' },
    )
  }

  async #begin(
    request: EngineRequest,
    handle: ExpertHandle | undefined,
    copy: number,
  ): Promise<EngineSequence> {
    const { contextTokens, now } = this.#parts
    const writing = this.#parts.writing(handle?.described)
    const room = contextTokens - request.prompt.length
    const maxTokens = Math.min(request.maxTokens ?? 256, room)
    const body = createCompletion(request, {
      model: handle ? toVllmName(handle.key) : this.#parts.model,
      maxTokens,
      eosIds: writing.eosIds,
      copy,
    })
    const end = new AbortController()
    const signal = request.signal ? AbortSignal.any([request.signal, end.signal]) : end.signal
    const release = handle ? await this.#contents.hold(handle.key) : () => undefined
    try {
      const records = await this.#complete(body, handle, signal)
      let newTokens = 0
      const onToken = (): void => void newTokens++
      const events = readAnswer(records, { request, writing, maxTokens, now, onToken })
      this.#running++
      const settle = limitToOnce(() => {
        this.#running--
        release()
      })
      return {
        id: this.#count++,
        events: closeWith(events, settle, signal),
        get newTokens() {
          return newTokens
        },
        cancel(reason: unknown = new Error('The request was cancelled.')) {
          end.abort(reason)
          settle()
        },
      }
    } catch (error) {
      release()
      throw error
    }
  }

  /** A restarted server has lost its adapters: loads this one and asks once more. */
  async #complete(
    body: Readonly<Record<string, unknown>>,
    handle: ExpertHandle | undefined,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Readonly<Record<string, unknown>>>> {
    const { client } = this.#parts
    try {
      return await client.complete(body, signal)
    } catch (error) {
      if (!handle || !(error instanceof VllmRefusal) || error.status !== 404) throw error
      await this.#contents.reload(handle.key)
      return client.complete(body, signal)
    }
  }

  async registerAdapter(...given: Parameters<Engine['registerAdapter']>): Promise<ExpertHandle> {
    const [name, expert] = given
    const adapter = checkVllmKind(name, expert)
    const { engine } = this.#parts
    const old = engine.experts.list().find((one) => one.name === name)
    const handle = await engine.registerAdapter(...given)
    try {
      await this.#contents.add(handle.key, adapter)
    } catch (error) {
      await this.#restore(name, old)
      throw error
    }
    // Running answers finish on the old one.
    if (old) void this.#contents.remove(old.key).catch(() => undefined)
    return handle
  }

  /** Restores the name after the server refused a new content. */
  async #restore(name: string, old: ExpertHandle | undefined): Promise<void> {
    const { engine } = this.#parts
    if (old?.expert) await engine.registerAdapter(name, old.expert, old.metadata, old.key)
    else await engine.unloadAdapter(name)
  }

  async unloadAdapter(name: string): Promise<void> {
    const { engine } = this.#parts
    const { key } = await engine.experts.find(name)
    await engine.unloadAdapter(name)
    await this.#contents.remove(key)
  }

  /** Answers are computed elsewhere, whether they are awaited or not. */
  async run(): Promise<void> {}

  async stats(): Promise<EngineStatistics> {
    const own = this.#parts.engine.stats()
    const gauges = readVllmGauges(await this.#parts.client.readMetrics().catch(() => ''))
    const used = Math.round((gauges.kvUsage ?? 0) * 1000)
    return Object.assign({}, own, {
      running: gauges.running ?? this.#running,
      waiting: gauges.waiting ?? 0,
      preemptions: gauges.preemptions ?? 0,
      // vLLM reports its share only: in thousandths
      kv: Object.assign({}, own.kv, {
        blocks: { capacity: 1000, used, cached: 0, free: 1000 - used },
      }),
    })
  }
}

/** The pool's names; nothing is pinned, because vLLM has no call for it. */
const createShelf = (pool: AdapterPool): ServingEngine['experts'] => ({
  list: () => pool.list(),
  countSlotBytes: () => 0,
  preload: async () => true,
  unpin: () => undefined,
  pin(name) {
    throw new RequestError(
      `"${name}" is not pinned: vLLM decides which adapters stay in its slots (--max-loras).`,
      { code: 'not_supported' },
    )
  },
  get statistics() {
    return pool.statistics
  },
})

/** The events, then what ends them, also where the reader leaves. */
async function* closeWith(
  events: AsyncIterable<GenerateEvent>,
  settle: () => void,
  signal: AbortSignal,
): AsyncGenerator<GenerateEvent, void> {
  try {
    yield* events
  } catch (error) {
    throw signal.aborted ? signal.reason : error
  } finally {
    settle()
  }
}

function limitToOnce(work: () => void): () => void {
  let isDone = false
  return () => {
    if (isDone) return
    isDone = true
    work()
  }
}
