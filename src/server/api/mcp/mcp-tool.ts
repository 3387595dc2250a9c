// The contract of an MCP tool: one file per tool in tools/, one row in tool-table.ts. Independent
// of the protocol, which create-mcp-server.ts adds.

import type { Fields, GivenOptions, JsonSchema } from '../../../base/schema.ts'
import type { RouteScope } from '../../route.ts'
import type { AnswerEvent, AnswerRequest, Service } from '../../service.ts'

/**
 * The caller of a tool: a client over HTTP with a key, or the program that started this process.
 */
export interface McpCaller {
  readonly service: Service
  /** The scopes of its key; undefined: all. */
  readonly scopes: readonly string[] | undefined
  /** The name of its key; '': no key. */
  readonly owner: string
  /** A new id with this prefix. */
  readonly createId: (prefix: string) => string
  /** Answers a request and counts its usage. */
  answer(
    request: AnswerRequest,
    user: string | undefined,
    responseId: string,
    signal: AbortSignal,
  ): AsyncGenerator<AnswerEvent, void>
  /** Receives errors that the caller did not cause. */
  onFault(error: unknown): void
}

/** One call of a tool. */
export interface McpToolCall<Given> {
  readonly given: Given
  readonly caller: McpCaller
  /** Aborts when the caller disconnects or cancels the call. */
  readonly signal: AbortSignal
  /** Reports progress; does nothing if the caller did not ask for it. */
  report(done: number, message: string, total?: number): Promise<void>
}

export interface McpToolResult {
  /** The answer as text, for a model that reads text only. */
  readonly text: string
  /** The answer as a value that fits `answer`. */
  readonly value: object
}

export interface McpTool<Of extends Fields = Fields> {
  readonly name: string
  readonly title: string
  /** The description by which a model chooses the tool. */
  readonly about: string
  readonly scope: Exclude<RouteScope, 'open' | 'admin'>
  readonly fields: Of
  readonly required: readonly (keyof Of & string)[]
  /** The schema of its answer. */
  readonly answer: JsonSchema
  /** Whether it changes nothing. */
  readonly isReadOnly: boolean
  run(call: McpToolCall<GivenOptions<Of>>): Promise<McpToolResult>
}

/** Types `run` by the table of fields; the server has checked them before. */
export const defineTool = <const Of extends Fields>(tool: McpTool<Of>): McpTool =>
  tool as unknown as McpTool
