// The experts of a vLLM server: each content under a separate name, so that a replaced expert does
// not change running answers. They are loaded by call, again if the server has lost them, and
// unloaded when no request needs them.

import type { Adapter } from '../../adapters/adapter.ts'
import { RequestError } from '../request-error.ts'
import type { VllmClient } from './vllm-client.ts'

export interface VllmExpertsParts {
  readonly client: Pick<VllmClient, 'load' | 'unload' | 'place'>
  /** Writes an adapter where the server can read it; returns the folder by the server's path. */
  readonly writeAdapter: (key: string, adapter: Adapter) => Promise<string>
}

interface LoadedContent {
  readonly folder: Promise<string>
  /** Names that it is registered under. */
  names: number
  /** Requests that use it now. */
  users: number
  /** Resolves when the server has it. */
  loading: Promise<void>
  /** Called when the last request has ended. */
  readonly waiters: (() => void)[]
}

/** vLLM's name of a content: the same for every Graft server in front of it. */
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

  /** Loads a content for one more name. Throws what writing and the server throw. */
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

  /** Removes one name; resolves when the server has unloaded it, after its last request. */
  async remove(key: string): Promise<void> {
    const content = this.#contents.get(key)
    if (!content || --content.names > 0) return
    if (content.users > 0) await new Promise<void>((done) => content.waiters.push(done))
    if (content.names > 0 || this.#contents.get(key) !== content) return // it was registered again
    this.#contents.delete(key)
    await this.#parts.client.unload(toVllmName(key))
  }

  /** Keeps a content for a request, until the returned function is called, once. */
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

  /** Reloads a content that the server lost: it was restarted, or another client unloaded it. */
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
