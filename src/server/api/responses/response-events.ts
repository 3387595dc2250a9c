// The events of a streamed response: items that begin, grow and end, each event numbered. The same
// writer builds a whole response, so that both agree.

import type { AnswerEvent } from '../../service.ts'
import {
  type CallParts,
  type OutputItem,
  type ResponseState,
  toCallItem,
  toMessageItem,
  toReasoningItem,
  toReasoningPart,
  toResponse,
  toTextPart,
} from './response-body.ts'
import type { ResponseBody } from './response-fields.ts'

export interface ResponseWriterOptions {
  readonly id: string
  readonly created: number
  readonly body: ResponseBody
  /** The reasoning effort that takes effect. */
  readonly effort: unknown
  readonly createId: (prefix: string) => string
  /** Seconds since 1970. */
  readonly now: () => number
}

interface OpenItem {
  readonly type: OutputItem['type']
  readonly id: string
  text: string
  readonly call?: Omit<CallParts, 'arguments'> & { readonly index: number }
}

export class ResponseWriter {
  readonly #options: ResponseWriterOptions
  readonly #output: OutputItem[] = []
  #item: OpenItem | undefined
  #model = ''
  #number = 0
  #state: Omit<ResponseState, 'output' | 'model'>

  constructor(options: ResponseWriterOptions) {
    this.#options = options
    const { id, created, body, effort } = options
    this.#state = { id, created, body, effort }
  }

  get id(): string {
    return this.#options.id
  }

  /** The response in its current state. */
  get response(): Readonly<Record<string, unknown>> {
    return toResponse(Object.assign({ output: this.#output, model: this.#model }, this.#state))
  }

  toRecords(event: AnswerEvent): object[] {
    switch (event.type) {
      case 'start':
        this.#model = event.model
        return [
          this.#count({ type: 'response.created', response: this.response }),
          this.#count({ type: 'response.in_progress', response: this.response }),
        ]
      case 'prompt':
        return []
      case 'delta':
        return this.#take(event)
      case 'end': {
        const { reason, usage } = event
        const ended = this.#close(reason === 'length' ? 'incomplete' : 'completed')
        this.#state = Object.assign({}, this.#state, {
          end: { reason, usage, at: this.#options.now() },
        })
        const type = reason === 'length' ? 'response.incomplete' : 'response.completed'
        return [...ended, this.#count({ type, response: this.response })]
      }
    }
  }

  /** The events of an answer that fails after its beginning. */
  toFailure(error: { readonly code: string; readonly message: string }): object[] {
    this.#state = Object.assign({}, this.#state, { error })
    return [this.#count({ type: 'response.failed', response: this.response })]
  }

  #count(event: object): object {
    return Object.assign({}, event, { sequence_number: this.#number++ })
  }

  #take({ text, reasoning, call }: AnswerEvent & { readonly type: 'delta' }): object[] {
    const records: object[] = []
    if (reasoning) records.push(...this.#grow('reasoning', reasoning))
    if (text) records.push(...this.#grow('message', text))
    if (!call) return records
    const open = this.#item
    if (open?.type !== 'function_call' || open.call!.index !== call.call) {
      const id = this.#options.createId('fc_')
      const parts = { id, callId: call.id!, name: call.name!, index: call.call }
      records.push(...this.#begin({ type: 'function_call', id, text: '', call: parts }))
    }
    if (call.arguments !== '') records.push(...this.#add(call.arguments))
    return records
  }

  #grow(type: 'reasoning' | 'message', text: string): object[] {
    const begun =
      this.#item?.type === type
        ? []
        : this.#begin({
            type,
            id: this.#options.createId(type === 'message' ? 'msg_' : 'rs_'),
            text: '',
          })
    return [...begun, ...this.#add(text)]
  }

  #begin(item: OpenItem): object[] {
    const ended = this.#close('completed')
    this.#item = item
    const place = { output_index: this.#output.length }
    const shown = toItem(item, 'in_progress', true)
    const added = this.#count({ type: 'response.output_item.added', ...place, item: shown })
    if (item.type === 'function_call') return [...ended, added]
    const part = toPart(item, '')
    return [
      ...ended,
      added,
      this.#count({ type: 'response.content_part.added', ...this.#place(), part }),
    ]
  }

  /** The indices of the open item and of its only part. */
  #place(): object {
    const { id, type } = this.#item!
    const place = { item_id: id, output_index: this.#output.length }
    return type === 'function_call' ? place : { ...place, content_index: 0 }
  }

  #add(delta: string): object[] {
    const item = this.#item!
    item.text += delta
    const more = item.type === 'message' ? { logprobs: [] } : {}
    return [
      this.#count({ type: `${eventNames[item.type]}.delta`, ...this.#place(), delta, ...more }),
    ]
  }

  #close(status: string): object[] {
    const item = this.#item
    if (!item) return []
    const place = this.#place()
    const records: object[] = []
    if (item.type === 'function_call')
      records.push(
        this.#count({
          type: 'response.function_call_arguments.done',
          ...place,
          name: item.call!.name,
          arguments: item.text,
        }),
      )
    else {
      const more = item.type === 'message' ? { logprobs: [] } : {}
      records.push(
        this.#count({ type: `${eventNames[item.type]}.done`, ...place, text: item.text, ...more }),
        this.#count({
          type: 'response.content_part.done',
          ...place,
          part: toPart(item, item.text),
        }),
      )
    }
    const done = toItem(item, status)
    records.push(
      this.#count({
        type: 'response.output_item.done',
        output_index: this.#output.length,
        item: done,
      }),
    )
    this.#output.push(done)
    this.#item = undefined
    return records
  }
}

const eventNames = {
  message: 'response.output_text',
  reasoning: 'response.reasoning_text',
  function_call: 'response.function_call_arguments',
} as const

const toPart = ({ type }: OpenItem, text: string): object =>
  type === 'message' ? toTextPart(text) : toReasoningPart(text)

/** An item that begins has no content yet. */
function toItem({ type, id, text, call }: OpenItem, status: string, isNew = false): OutputItem {
  if (type === 'function_call') return toCallItem(Object.assign({ arguments: text }, call!), status)
  const item =
    type === 'message' ? toMessageItem(id, text, status) : toReasoningItem(id, text, status)
  return isNew ? Object.assign({}, item, { content: [] }) : item
}
