// Input that is no valid request: broken HTTP, headers that are too long, a client that is too
// slow. Node would answer without a body; here it is an error of the same shape as all others.

import { type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { createErrorBody } from '../../server/error-response.ts'
import { RequestError } from '../../server/request-error.ts'
import { findErrorCode } from '../files/system-errors.ts'

const problems: Readonly<Record<string, readonly [status: number, message: string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'The headers of the request are too long: 16 KB are the most.'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, 'The body has chunk extensions that are too long.'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'The request did not arrive in time.'],
}

const isWithinAnswer = (answer: ServerResponse | undefined): boolean =>
  answer !== undefined && answer.headersSent && !answer.writableFinished

/** Answers them on the socket itself, and closes it. */
export function answerMalformedRequests(server: Pick<Server, 'on'>): void {
  const answers = new WeakMap<Duplex, ServerResponse>()
  server.on('request', ({ socket }, response) => void answers.set(socket, response))
  server.on('clientError', (error: Error, socket: Duplex) => {
    const code = findErrorCode(error) ?? ''
    // in the middle of an answer no error can be sent any more
    if (code === 'ECONNRESET' || !socket.writable || isWithinAnswer(answers.get(socket))) {
      socket.destroy()
      return
    }
    const [status, message] = problems[code] ?? [400, 'This is not a valid HTTP request.']
    const fields = { status, type: 'invalid_request_error', code: 'invalid_http' }
    const problem = new RequestError(message, fields)
    const body = JSON.stringify(createErrorBody(problem))
    socket.end(
      [
        `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
        'Content-Type: application/json',
        `Content-Length: ${Buffer.byteLength(body)}`,
        'x-should-retry: false',
        'Connection: close',
        '',
        body,
      ].join('\r\n'),
    )
  })
}
