// The experts of a vLLM server: each content under a name of its own, so that a replaced expert
// does not change answers that run. They are loaded by call, again where the server has lost them,
// and unloaded when nobody needs them.

import type { Adapter } from '../../adapters/adapter.ts'
import { RequestError } from '../request-error.ts'
import type { VllmClient } from './vllm-client.ts'

export interface VllmExpertsParts {
  readonly client: Pick<VllmClient, 'load' | 'unload' | 'place'>
  /** Puts an adapter where the server can read it; gives the folder as the server knows it. */
  readonly writeAdapter: (key: string, adapter: Adapter) => Promise<string>
}

interface LoadedContent {
  readonly folder: Promise<string>
  /** Registered under how many names. */
  names: number
  /** Requests that use it now. */
  users: number
  /** Resolves when the server has it. */
  loading: Promise<void>
  /** Called when the last request has ended. */
  readonly waiters: (() => void)[]
}

/** What vLLM calls a content: the same on every server of Graft before it. */
export const toVllmName = (key: string): string => `graft-${key.replace(/^\w+:/, '').slice(0, 16)}`

export class VllmExperts {
  readonly #parts: VllmExpertsParts
  readonly #contents = new Map<string, LoadedContent>()

  constructor(parts: VllmExpertsParts) {
    this.#parts = parts
  }

  get size(): number {
    return this.#contents.size
  }

  /** Loads a content for one more name. Throws what writing and the server refuse. */
  async add(key: string, adapter: Adapter): Promise<void> {
    const known = this.#contents.get(key)
    if (known) {
      known.names++
      return known.loading
    }
    const content: LoadedContent = {
      names: 1,
      users: 0,
      folder: this.#parts.writeAdapter(key, adapter),
      loading: Promise.resolve(),
      waiters: [],
    }
    content.loading = this.#load(key, content)
    this.#contents.set(key, content)
    try {
      await content.loading
    } catch (error) {
      this.#contents.delete(key)
      throw error
    }
  }

  /** One name less; resolves when the server has let it go, after its last request. */
  async remove(key: string): Promise<void> {
    const content = this.#contents.get(key)
    if (!content || --content.names > 0) return
    if (content.users > 0) await new Promise<void>((done) => content.waiters.push(done))
    if (content.names > 0 || this.#contents.get(key) !== content) return // it came back
    this.#contents.delete(key)
    await this.#parts.client.unload(toVllmName(key))
  }

  /** Holds a content for a request, until the returned function is called, once. */
  async hold(key: string): Promise<() => void> {
    const content = this.#contents.get(key)
    if (!content)
      throw new RequestError('The expert is being loaded. Ask again.', {
        status: 503,
        code: 'loading',
        retryAfter: 1,
      })
    content.users++
    try {
      await content.loading
    } catch (error) {
      content.users--
      throw error
    }
    return () => {
      content.users--
      if (content.users > 0) return
      for (const done of content.waiters.splice(0)) done()
    }
  }

  /**
   * Loads a content that the server no longer has: it was started again, or another unloaded it.
   */
  async reload(key: string): Promise<void> {
    const content = this.#contents.get(key)
    if (!content) return
    content.loading = this.#load(key, content)
    await content.loading
  }

  async #load(key: string, { folder }: Pick<LoadedContent, 'folder'>): Promise<void> {
    await this.#parts.client.load(toVllmName(key), await folder)
  }
}
