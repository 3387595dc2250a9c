// The engine's interface over messages: in this thread, in a worker, in another process. Methods
// that take functions (stages, taps of states) are not part of it.

import type { AdapterMetadata, Expert } from '../../adapters/index.ts'
import type { ChatOptions } from '../../formats/text/chat-template.ts'
import type { EngineRequest, EngineStatistics } from '../engine/engine.ts'
import type { GenerateEvent } from '../engine/request.ts'
import type { Prompt } from '../prompt.ts'
import type { SequenceNames } from './connect-object.ts'

export interface ClientRequest extends Omit<EngineRequest, 'prompt' | 'stage' | 'states'> {
  /** Text, a conversation or token ids; the expert's own tokenizer and template are used. */
  readonly prompt: Prompt
  /** For conversations: tools, date and further variables of the chat template. */
  readonly chat?: ChatOptions | undefined
}

/** An event of one of several answers. */
export type CopyEvent = GenerateEvent & {
  /** Which answer, from 0. */
  readonly copy: number
}

/** A registered expert, without its tensors. */
export interface ExpertEntry {
  readonly name: string
  /** Counts from 1 for each name. */
  readonly version: number
  /** The hash of its content. */
  readonly key: string
  /** The adapter's kind, or 'mixture'. */
  readonly kind: string
  readonly metadata: AdapterMetadata
}

/** The plain part of an engine. */
export interface EngineClient {
  /** Queues a request and gives its events. Leaving the loop, or the signal, cancels it. */
  generate(request: ClientRequest): AsyncGenerator<GenerateEvent, void, void>
  /** `count` answers of one prompt, which is read once; answer i draws with the seed + i. */
  generateCopies(request: ClientRequest, count: number): AsyncGenerator<CopyEvent, void, void>
  /**
   * Token ids of a prompt, as read by the expert of that name or by the mixture given as a string.
   */
  encode(prompt: Prompt, chat?: ChatOptions, adapter?: string): Promise<number[]>
  /**
   * Makes an expert known under a name: an adapter, a mixture, or the folder or file of an adapter.
   * The next request of that name gets it; those that run keep theirs.
   */
  registerAdapter(
    name: string,
    expert: Expert | string,
    metadata?: AdapterMetadata,
  ): Promise<ExpertEntry>
  /** Resolves when the last request that uses the expert has ended. */
  unloadAdapter(name: string): Promise<void>
  /** A pinned expert is never evicted from its slot. */
  pinAdapter(name: string, isPinned?: boolean): Promise<void>
  /** Fills its slot and compiles what serves it, so that its first request does not wait. */
  preloadAdapter(name: string): Promise<void>
  listAdapters(): Promise<readonly ExpertEntry[]>
  stats(): Promise<EngineStatistics>
  /** Cancels what runs and waits; resolves when nothing runs. */
  dispose(): Promise<void>
}

/** The client's methods that give a sequence of values. */
export const engineSequences = [
  'generate',
  'generateCopies',
] satisfies SequenceNames<EngineClient>[]
