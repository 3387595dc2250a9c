// The contract of a tool-call format: how a model writes a call into its text, and the result of
// parsing that text. Each format is a file in this folder and a row in format-table.ts.

import type { JsonSchema } from '../../../base/schema.ts'
import type { TagFormat } from '../../grammar/grammar-choice.ts'
import type { CallInput } from './reading/call-input.ts'
import type { CallSink } from './reading/call-sink.ts'

/** A function that a model may call. */
export interface ToolDefinition {
  readonly name: string
  readonly description?: string
  /** JSON Schema of an object; one without properties where the function takes nothing. */
  readonly parameters: JsonSchema
}

/** Which functions an answer may, must or must not call. */
export type ToolChoice = 'auto' | 'none' | 'required' | { readonly name: string }

/** A call as a model wrote it. */
export interface ToolCall {
  readonly name: string
  /** A JSON object as text; numbers as the model wrote them. */
  readonly arguments: string
  /** If the format has its own ids. */
  readonly id?: string
}

/**
 * The parts of an answer, in order. Pieces of one text, one reasoning or one call's arguments,
 * joined, do not depend on how the answer was cut.
 */
export type ToolCallEvent =
  | { readonly type: 'text'; readonly text: string }
  | { readonly type: 'reasoning'; readonly text: string }
  /** Calls are counted from 0. */
  | { readonly type: 'call-start'; readonly index: number; readonly name: string }
  /** A piece of the JSON text of the arguments. */
  | { readonly type: 'call-arguments'; readonly index: number; readonly text: string }
  | { readonly type: 'call-end'; readonly index: number; readonly id?: string }
  /** The started call is not a call: `text` is its whole source, from its marker on. */
  | { readonly type: 'call-broken'; readonly index: number; readonly text: string }

/** Texts around a model's reasoning. */
export interface ReasoningMarkers {
  readonly open: string
  readonly close: string
  /** What is between them and what follows. Default: a line break. */
  readonly behind?: string
}

/** What opens a call, and what reads it. */
export interface CallOpener {
  /** The text that opens it: `<tool_call>`. */
  readonly marker: string
  /** Opens only where no text comes before, and belongs to the call itself: `{`. */
  readonly isBare?: boolean
  /** It opens nothing: it is dropped. */
  readonly isFrame?: boolean
  /** Reads what follows; throws MalformedCall where it is not a call. */
  read(input: CallInput, sink: CallSink): Generator<void, void>
}

/** What is known of a model whose format is looked for. */
export interface FormatEvidence {
  /** The text of its chat template; of several, that for tools. */
  readonly template: string
  /** Whether its vocabulary has this token. */
  hasToken(token: string): boolean
}

/** Calls as a grammar: one tag for each function, and the text around them. */
export interface CallTags {
  /** What a text must not contain unless a tag follows: `<tool_call>`. */
  readonly triggers: readonly string[]
  readonly tags: readonly TagFormat[]
  /** Between two calls. */
  readonly separator: string
  /** Before the first call and after the last one, where calls are in a list. */
  readonly around?: { readonly begin: string; readonly end: string }
}

/** A model's own way to write calls. */
export interface ToolCallFormat {
  readonly name: string
  /** The models that write so. */
  readonly models: string
  /** Whether a model writes so. */
  isUsedBy(evidence: FormatEvidence): boolean
  readonly reasoning: readonly ReasoningMarkers[]
  /** Looked for in this order where several begin at the same place. */
  createOpeners(tools: readonly ToolDefinition[] | undefined): readonly CallOpener[]
  /** Ends of a call that were left over, dropped right after it. */
  readonly closers: readonly string[]
  /** Texts that frame others and say nothing, dropped wherever they are: `<|start|>assistant`. */
  readonly frames?: readonly string[]
  /**
   * The texts that mark calls and reasoning; where they are special tokens, the text keeps them.
   */
  readonly markers: readonly string[]
  /** Characters that ids of calls have, where the templates refuse others. */
  readonly idLength?: number
  /** The description of functions for models whose template has none. */
  describeTools(tools: readonly ToolDefinition[]): string
  /** Calls in an earlier answer, where the template does not write them. */
  formatCalls(calls: readonly ToolCall[]): string
  /** A function's result, if the template has no such message. */
  formatResult(result: string, name: string | undefined): string
  /** Calls of these functions in a grammar. */
  describeCalls(tools: readonly ToolDefinition[]): CallTags
}
