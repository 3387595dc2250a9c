// The contract of an MCP tool: one file per tool in tools/, one row in tool-table.ts. Independent
// of the protocol: create-mcp-server.ts says it in MCP's words.

import type { Fields, GivenOptions, JsonSchema } from '../../../base/schema.ts'
import type { RouteScope } from '../../route.ts'
import type { AnswerEvent, AnswerRequest, Service } from '../../service.ts'

/** Who calls tools: a client over HTTP with a key, or the program that started this one. */
export interface McpCaller {
  readonly service: Service
  /** What its key may do; undefined: everything. */
  readonly scopes: readonly string[] | undefined
  /** The name of its key; '': there is none. */
  readonly owner: string
  /** A new id with this in front. */
  readonly createId: (prefix: string) => string
  /** Answers a request and counts what it took. */
  answer(
    request: AnswerRequest,
    user: string | undefined,
    responseId: string,
    signal: AbortSignal,
  ): AsyncGenerator<AnswerEvent, void>
  /** Told what is no fault of the caller. */
  onFault(error: unknown): void
}

/** One call of a tool. */
export interface McpToolCall<Given> {
  readonly given: Given
  readonly caller: McpCaller
  /** Aborted when the caller has gone or has cancelled the call. */
  readonly signal: AbortSignal
  /** Tells how far it is; does nothing where nobody asked to be told. */
  report(done: number, message: string, total?: number): Promise<void>
}

export interface McpToolResult {
  /** For a model that reads text only. */
  readonly text: string
  /** The same as a value that fits `answer`. */
  readonly value: object
}

export interface McpTool<Of extends Fields = Fields> {
  readonly name: string
  readonly title: string
  /** What a model reads to choose the tool. */
  readonly about: string
  readonly scope: Exclude<RouteScope, 'open' | 'admin'>
  readonly fields: Of
  readonly required: readonly (keyof Of & string)[]
  /** The schema of what it gives. */
  readonly answer: JsonSchema
  /** Whether nothing is changed by it. */
  readonly isReadOnly: boolean
  run(call: McpToolCall<GivenOptions<Of>>): Promise<McpToolResult>
}

/** Types `run` by the table of fields; the server has checked them before. */
export const defineTool = <const Of extends Fields>(tool: McpTool<Of>): McpTool =>
  tool as unknown as McpTool
